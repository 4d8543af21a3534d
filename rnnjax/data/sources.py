"""Data sets by TFDS and the embedded digits, as the sections of a configuration load them."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnjax.data import cache, documents_corpus, folder, shards, streamed, tfds, tokenized
from rnnjax.data.distortions import distorted
from rnnjax.data.documents import TextData
from rnnjax.data.examples import SPLITS, Dataset, Examples, hold_out, labelled
from rnnjax.data.image_preprocess import ImagePreprocess
from rnnjax.data.images import ImageData, ImageFolderData
from rnnjax.errors import DataError


def images(config: ImageData) -> Dataset:
    """The embedded digits, or images by TFDS.

    Raises:
      DataError: if they are missing, unreadable, or not of the kind that the configuration says.
    """
    return _digits(config) if config.name == "digits" else _images(config)


def image_folder(config: ImageFolderData) -> Dataset:
    """A folder or zip of image files; raises DataError if it is none, or a file in it cannot be read."""
    found = folder.load(config)
    train, validation, test = (found.splits[split] for split in SPLITS)
    preprocess = ImagePreprocess.fit(np.asarray(train["inputs"]), found.class_names)
    preprocess = dataclasses.replace(preprocess, reading=config.reading)
    made = Dataset(config.name, train, validation, test, preprocess, notes=found.notes)
    return dataclasses.replace(made, understood=found.understood, places=lambda: found.places)


def _digits(config: ImageData) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a fixed stratified fifth is the test split."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    # Pixels count 0..16 strokes; stored like any other image, in 0..255.
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    every = labelled(images, digits.target.astype(np.int32))
    rest, test = hold_out(every["labels"], 0.2)
    return _image_dataset("digits", every.take(rest), every.take(test), config, [str(n) for n in range(10)])


def _images(config: ImageData) -> Dataset:
    found = tfds.builder(config.name, config.data_dir)
    shards.require(found, config.name, ("image", "label"), ("train", config.test_split))
    if config.crop_size:
        return streamed.load(config, found)
    if None in (found.info.features["image"].shape or (None,)):
        raise DataError(f"{config.name}: its images differ in size; set a size for all with --data.crop-size 224")
    splits = {}
    for split in ("train", config.test_split):
        content = {"kind": "images", **shards.fingerprint(found, (split,))}
        splits[split] = labelled(
            **cache.arrays(cache.folder(config.cache_dir), content, lambda s=split: _decode(found, s))
        )
    name = found.info.full_name
    return _image_dataset(name, splits["train"], splits[config.test_split], config, tfds.class_names(found))


def _decode(found: Any, split: str) -> dict[str, np.ndarray]:
    columns = tfds.columns(found, split, ("image", "label"))
    shards.require_shape(found, split, "image", columns["image"])
    return {"inputs": np.stack(columns["image"]), "labels": np.array(columns["label"], np.int32)}


def _image_dataset(name: str, train: Examples, test: Examples, config: ImageData, class_names: Any) -> Dataset:
    kept, held = hold_out(train["labels"], config.validation_fraction)
    fitted, validation = train.take(kept), train.take(held)
    if config.distorted_validation:
        arrays = {**validation.arrays, "inputs": distorted(np.asarray(validation["inputs"]))}
        validation = dataclasses.replace(validation, arrays=arrays)
    preprocess = ImagePreprocess.fit(np.asarray(fitted["inputs"]), class_names)
    return Dataset(name, fitted, validation, test, preprocess)


def documents(config: TextData) -> tuple[str, Sequence[str], dict[str, tokenized.Documents]]:
    """Name, classes and the documents of ``train``, ``validation`` and ``test``, the splits of :func:`labelled_texts`.

    Raises:
      DataError: as :func:`images` does.
    """
    found = _labelled_texts(config)
    given = {split: _documents(found, split) for split in ("train", "test")}
    return found.info.full_name, tfds.class_names(found), tokenized.three_splits(given, config)


def labelled_texts(config: TextData) -> Dataset:
    """Documents by TFDS; raises DataError as :func:`images` does."""
    found, others = _labelled_texts(config), config.vocabulary_splits
    source = shards.fingerprint(found, ("train", "test"))
    if others:
        shards.require(found, config.name, ("text",), others)
        source["vocabulary"] = shards.fingerprint(found, others)["splits"]
    return tokenized.dataset(
        found.info.full_name,
        config,
        tfds.class_names(found),
        source=source,
        read=lambda: {split: _documents(found, split) for split in ("train", "test")},
        vocabulary=functools.partial(
            documents_corpus.vocabulary_of, found, others, config.tokenizer, config.vocabulary_size
        )
        if others
        else None,
    )


def _labelled_texts(config: TextData) -> Any:
    found = tfds.builder(config.name, config.data_dir)
    shards.require(found, config.name, ("text", "label"), ("train", "test"))
    return found


def _documents(found: Any, split: str) -> tokenized.Documents:
    texts, labels = zip(*tfds.texts(found, split, "label"), strict=True)
    return list(texts), np.array(labels, np.int32)

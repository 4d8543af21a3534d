"""From a data configuration to a data set: the embedded digits, a folder of images, images and texts by TFDS."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.config import DataConfig, ImageData, ImageFolderData, TextData
from rnnjax.data import cache, folder, tfds
from rnnjax.data.examples import Dataset, Examples, hold_out
from rnnjax.data.preprocess import ImagePreprocess, TextPreprocess
from rnnjax.errors import DataError, UsageError
from rnnjax.text import Vocabulary, tokenize


def load(config: DataConfig) -> Dataset:
    """Reads the data set that a configuration names.

    Raises:
      DataError: if it is missing, unreadable, or not of the kind that the configuration says.
    """
    if isinstance(config, TextData):
        return _text(config)
    if isinstance(config, ImageFolderData):
        found = folder.load(config)
        return _image_dataset(config.name, found.train, found.test, config, found.class_names, found.notes)
    if not isinstance(config, ImageData):
        raise UsageError(f"no data set is known for {type(config).__name__}")
    return _digits(config) if config.name == "digits" else _images(config)


def _digits(config: ImageData) -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; a fixed stratified fifth is the test split."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    # Pixels count 0..16 strokes; stored like any other image, in 0..255.
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    every = Examples(images, digits.target.astype(np.int32))
    rest, test = hold_out(every.labels, 0.2)
    return _image_dataset("digits", every.take(rest), every.take(test), config, [str(n) for n in range(10)])


def _images(config: ImageData) -> Dataset:
    found = tfds.builder(config.name, config.data_dir)
    _require(found, config.name, ("image", "label"), ("train", "test"))
    if None in (found.info.features["image"].shape or (None,)):
        raise DataError(f"{config.name}: its images differ in size, and this road reads images of one size only")
    splits = {}
    for split in ("train", "test"):
        content = {"kind": "images", "split": split, **tfds.fingerprint(found)}
        splits[split] = Examples(
            **cache.arrays(cache.folder(config.cache_dir), content, lambda s=split: _decode(found, s))
        )
    name = found.info.full_name
    return _image_dataset(name, splits["train"], splits["test"], config, tfds.class_names(found))


def _decode(found: Any, split: str) -> dict[str, np.ndarray]:
    columns = tfds.columns(found, split, ("image", "label"))
    return {"inputs": np.stack(columns["image"]), "labels": np.array(columns["label"], np.int32)}


def _image_dataset(
    name: str, train: Examples, test: Examples, config: ImageData, class_names: Any, notes: tuple[str, ...] = ()
) -> Dataset:
    kept, held = hold_out(train.labels, config.validation_fraction)
    fitted = train.take(kept)
    preprocess = ImagePreprocess.fit(fitted.inputs, class_names)
    return Dataset(name, fitted, train.take(held), test, preprocess, notes)


def _text(config: TextData) -> Dataset:
    found = tfds.builder(config.name, config.data_dir)
    _require(found, config.name, ("text", "label"), ("train", "test"))
    content = {
        "kind": "words",
        **tfds.fingerprint(found),
        "vocabulary_size": config.vocabulary_size,
        "max_length": config.bucket_lengths[-1],
        "validation_fraction": config.validation_fraction,
    }
    cached = cache.arrays(cache.folder(config.cache_dir), content, lambda: _tokenized(found, config))
    splits: dict[str, Any] = {s: _text_split(cached, s) for s in ("train", "validation", "test")}
    vocabulary = Vocabulary(tuple(bytes(cached["vocabulary"]).decode("utf-8").split("\n")))
    preprocess = TextPreprocess(vocabulary, config.bucket_lengths[-1], tfds.class_names(found))
    return Dataset(found.info.full_name, preprocess=preprocess, **splits)


def _tokenized(found: Any, config: TextData) -> dict[str, np.ndarray]:
    """Ids, lengths and labels of all splits; the vocabulary comes from the kept part of training alone."""
    documents: dict[str, list[list[str]]] = {}
    labels: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        columns = tfds.columns(found, split, ("text", "label"))
        documents[split] = [tokenize(_utf8(text)) for text in columns["text"]]
        labels[split] = np.array(columns["label"], np.int32)
    kept, held = hold_out(labels["train"], config.validation_fraction)
    train = documents["train"]
    documents |= {"train": [train[i] for i in kept], "validation": [train[i] for i in held]}
    labels |= {"train": labels["train"][kept], "validation": labels["train"][held]}
    vocabulary = Vocabulary.fit(documents["train"], config.vocabulary_size)
    out = {"vocabulary": np.frombuffer("\n".join(vocabulary.words).encode("utf-8"), np.uint8)}
    for split, tokenized in documents.items():
        ids, lengths = vocabulary.encode(tokenized, config.bucket_lengths[-1])
        out |= {f"{split}_inputs": ids, f"{split}_lengths": lengths, f"{split}_labels": labels[split]}
    return out


def _text_split(cached: Mapping[str, np.ndarray], split: str) -> Examples:
    return Examples(**{name: cached[f"{split}_{name}"] for name in ("inputs", "labels", "lengths")})


def _utf8(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _require(found: Any, name: str, features: tuple[str, ...], splits: tuple[str, ...]) -> None:
    for kind, wanted, present in (("feature", features, found.info.features), ("split", splits, found.info.splits)):
        missing = [w for w in wanted if w not in present]
        if missing:
            raise DataError(f"{name} has no {kind} {missing[0]!r}; it has {', '.join(sorted(present))}")

"""TFDS images of any size as a data set that is decoded while it is trained on."""

import math
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.data import cache, shards, tfds
from rnnjax.data.encoded import EncodedImages
from rnnjax.data.examples import Dataset, Examples, hold_out, labelled
from rnnjax.data.image_preprocess import ImagePreprocess
from rnnjax.data.images import ImageData

_SAMPLE = 2000
"""Training images, evenly spread, from which mean and standard deviation of the pixels are taken."""


def load(config: ImageData, found: Any) -> Dataset:
    """The data set of a prepared TFDS builder.

    All labels are read once and cached, for which every record is read; nothing else is until it is trained on.

    Raises:
      DataError: if its files are missing or cannot be read.
    """
    train, test = (_split(config, found, split) for split in ("train", config.test_split))
    kept, held = hold_out(train["labels"], config.validation_fraction)
    fitted, root = train.take(kept), cache.folder(config.cache_dir)
    content = {
        "kind": "statistics",
        **shards.fingerprint(found, ("train",)),
        "crop_size": config.crop_size,
        "validation_fraction": config.validation_fraction,
        "sample": _SAMPLE,
    }
    pixels = cache.arrays(root, content, lambda: _statistics(fitted["inputs"]))
    size, channels = fitted["inputs"].shape[2:]
    mean, std = (tuple(pixels[name].tolist()) for name in ("mean", "std"))
    preprocess = ImagePreprocess((size, size, channels), mean, std, tfds.class_names(found), center_crop=True)
    return Dataset(found.info.full_name, fitted, train.take(held), test, preprocess)


def _split(config: ImageData, found: Any, split: str) -> Examples:
    content = {"kind": "labels", **shards.fingerprint(found, (split,))}
    labels = cache.arrays(cache.folder(config.cache_dir), content, lambda: {"labels": tfds.labels(found, split)})
    images = EncodedImages(
        name=f"{found.info.full_name}, split {split}",
        fetch=tfds.encoded(found, split, "image"),
        numbers=np.arange(len(labels["labels"])),
        size=config.crop_size,
        channels=found.info.features["image"].shape[-1] or 3,
        least_area=config.crop_least_area,
        source=digests.of_json(content),
    )
    return labelled(images, labels["labels"])


def _statistics(images: Any) -> dict[str, np.ndarray]:
    """Mean and standard deviation of center crops, a value a channel, of pixels scaled to 0..1; std 1 where all of a
    channel's pixels are alike.

    Sums and squares are integers, so that they are exact, and a variance of 0 is 0.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).round().astype(np.int64))
    channels = images.shape[-1]
    sums, squares, count = [0] * channels, [0] * channels, 0
    for part in np.array_split(rows, -(-len(rows) // 50)):
        pixels = images[part].astype(np.int64).reshape(-1, channels)
        sums = [a + int(b) for a, b in zip(sums, pixels.sum(0), strict=True)]
        squares = [a + int(b) for a, b in zip(squares, (pixels**2).sum(0), strict=True)]
        count += len(pixels)
    spread = [count * of_squares - total**2 for of_squares, total in zip(squares, sums, strict=True)]
    mean = np.array([total / (255 * count) for total in sums])
    return {"mean": mean, "std": np.array([math.sqrt(s) / (255 * count) if s else 1.0 for s in spread])}

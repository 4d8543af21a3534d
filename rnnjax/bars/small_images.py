"""The bar for images: logistic regression on small pixels and on how often each colour occurs."""

import time

import numpy as np

from rnnjax.bars import linear
from rnnjax.bars.base import Asked, Bar, judged
from rnnjax.data import Dataset, Examples

_SIDE = 16
"""Pixels of the small images, at most, along each side."""

_LEVELS = {1: 16, 3: 4}
"""Levels of each channel that the histogram tells apart, by the number of channels."""

_STRENGTHS = (0.01, 0.001, 0.1, 1.0)

_SECONDS_EACH = 2e-9
"""Of one pass of a fit, for each example, feature and class: a low estimate of one core."""

_PASSES = 200


def bar(asked: Asked) -> Bar | None:
    """The bar of classes or labels of images of one size; None of other inputs, and of images decoded at each use."""
    dataset, start = asked.dataset, time.monotonic()
    if not _are_images(dataset):
        return None
    columns = asked.task.regressed(dataset.train, dataset.spec)
    if columns is None or not linear.signs(columns):
        return None
    width = features(dataset.train, np.arange(1)).shape[1]
    each = _SECONDS_EACH * _PASSES * len(_STRENGTHS) * width * columns.shape[1]
    rows = linear.sample(len(dataset.train), asked.seconds / each)
    kept = np.arange(len(dataset.train)) if rows is None else rows
    made = {"train": features(dataset.train, kept)}
    made |= {split: features(dataset.split(split)) for split in {"validation", asked.split}}
    mean, std = made["train"].mean(0), made["train"].std(0)
    scaled = {split: (part - mean) / np.where(std > 1e-6, std, 1.0) for split, part in made.items()}
    chosen = linear.by_validation(
        _STRENGTHS,
        lambda c: linear.logistic(scaled["train"], columns[kept], c),
        lambda model: linear.on_validation(model(scaled["validation"]), asked),
        start + 0.7 * asked.seconds,
    )
    outputs, note = chosen.model(scaled[asked.split]), linear.sampled(rows, len(dataset.train))
    return judged("small pixels", outputs.astype(np.float32), asked, likely=True, note=note)


def features(examples: Examples, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Pixels of the small image and the colour histogram, ``[N, F]`` float32, of images ``[N, H, W, C]`` uint8."""
    images = np.asarray(examples["inputs"][rows])
    small = _halves(images.astype(np.float32) / 255)
    return np.concatenate([small.reshape(len(small), -1), _histogram(images)], 1)


def _halves(images: np.ndarray) -> np.ndarray:
    """Images ``[N, H, W, C]`` with each side cut into :data:`_SIDE` parts at most, and the mean of each part."""
    for axis in (1, 2):
        size = images.shape[axis]
        starts = np.linspace(0, size, min(size, _SIDE) + 1).astype(int)[:-1]
        counts = np.diff(np.r_[starts, size]).reshape((-1,) + (1,) * (3 - axis))
        images = np.add.reduceat(images, starts, axis) / counts
    return images


def _histogram(images: np.ndarray) -> np.ndarray:
    """The share of pixels of each colour, ``[N, colours]`` float32."""
    channels = images.shape[-1]
    levels = _LEVELS.get(channels, 2)
    codes = np.zeros(images.shape[:-1], np.int64)
    for channel in range(channels):
        codes = codes * levels + images[..., channel].astype(np.int64) * levels // 256
    codes = codes.reshape(len(images), -1)
    cells = levels**channels
    counts = np.bincount((codes + cells * np.arange(len(codes))[:, None]).ravel(), minlength=cells * len(codes))
    return (counts.reshape(len(codes), cells) / codes.shape[1]).astype(np.float32)


def _are_images(dataset: Dataset) -> bool:
    inputs, train = dataset.spec.inputs, dataset.train
    if set(inputs) != {"inputs"} or "inputs" in train.encoded or train.timed:
        return False
    shape, dtype = train["inputs"].shape, train["inputs"].dtype
    return len(shape) == 4 and dtype == np.uint8 and shape[-1] <= 4

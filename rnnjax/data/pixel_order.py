"""The pixels of all images in one other order, so that neighbours are no longer near each other (permuted MNIST)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnjax.data.examples import Dataset
from rnnjax.errors import UsageError


def permuted(dataset: Dataset, seed: int | None) -> Dataset:
    """The data set whose model sees the pixels in an order that is drawn by a seed; None: as they lie.

    Images are stored and augmented as they are: the preprocessing holds the order, and a work folder keeps it.
    """
    if seed is None:
        return dataset
    preprocess: Any = dataset.preprocess
    height, width, _ = preprocess.shape
    order = np.random.default_rng(seed).permutation(height * width)
    return dataclasses.replace(dataset, preprocess=dataclasses.replace(preprocess, order=tuple(order.tolist())))


def check(order: Sequence[int], shape: Sequence[int]) -> None:
    """Raises UsageError unless an order is empty or names each pixel of an image once."""
    pixels = shape[0] * shape[1]
    if not order or sorted(order) == list(range(pixels)):
        return
    raise UsageError(
        f"the order of pixels must name each of {shape[0]} x {shape[1]} once, by the numbers 0 to {pixels - 1}; it has "
        f"{len(order)} entries, {len(set(order) & set(range(pixels)))} of these numbers"
    )


def reordered(images: Any, order: Sequence[int]) -> Any:
    """Images ``[B, height, width, C]`` with pixel ``order[i]`` at place ``i``, rows from left to right."""
    if not order:
        return images
    pixels = images.reshape(images.shape[0], -1, images.shape[-1])
    return pixels[:, np.asarray(order)].reshape(images.shape)

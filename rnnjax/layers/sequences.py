"""Images as sequences: ``[..., height, width, C]`` to ``[..., T, D]``, for NumPy and JAX arrays alike.

The images may as well be the feature map of a convolution. Any number of leading axes.
"""

from typing import Any

import numpy as np

from rnnjax.errors import UsageError


def rows(images: Any) -> Any:
    """One step a row, top to bottom: ``[..., height, width * C]``."""
    *batch, height, width, channels = _shape(images)
    return images.reshape(*batch, height, width * channels)


def columns(images: Any) -> Any:
    """One step a column, left to right: ``[..., width, height * C]``."""
    _shape(images)
    return rows(images.swapaxes(-3, -2))


def pixels(images: Any, order: Any = None) -> Any:
    """One step a pixel, row by row: ``[..., height * width, C]``.

    Args:
      images: ``[..., height, width, C]``.
      order: the places ``[height * width]`` of the pixels in the order they are read, such as from
        :func:`pixel_permutation` (permuted sequential MNIST; Le et al. 2015, arXiv:1504.00941).

    Raises:
      UsageError: if ``order`` has another length.
    """
    *batch, height, width, channels = _shape(images)
    steps = images.reshape(*batch, height * width, channels)
    if order is None:
        return steps
    if np.shape(order) != (height * width,):
        raise UsageError(
            f"order must have shape {(height * width,)} for {height}x{width} images, got {np.shape(order)}"
        )
    return steps[..., order, :]


def pixel_permutation(count: int, seed: int = 0) -> np.ndarray:
    """A permutation of ``count`` pixels that its seed fixes for good."""
    # RandomState's streams are frozen; NumPy may change those of Generator from version to version.
    return np.random.RandomState(seed).permutation(count)


def patches(images: Any, size: int | tuple[int, int]) -> Any:
    """One step a patch, row by row: ``[..., height/p * width/q, p * q * C]``.

    Args:
      images: ``[..., height, width, C]``.
      size: height and width (p, q) of a patch, or one number for both.

    Raises:
      UsageError: if patches of this size do not tile the images.
    """
    *batch, height, width, channels = _shape(images)
    down, across = (size, size) if isinstance(size, int) else size
    if down <= 0 or across <= 0 or height % down or width % across:
        raise UsageError(f"patches of {down}x{across} do not tile images of {height}x{width}")
    tiled = images.reshape(*batch, height // down, down, width // across, across, channels).swapaxes(-4, -3)
    return tiled.reshape(*batch, (height // down) * (width // across), down * across * channels)


def _shape(images: Any) -> tuple[int, ...]:
    if images.ndim < 3:
        raise UsageError(f"images must have shape [..., height, width, C], got {images.shape}")
    return images.shape

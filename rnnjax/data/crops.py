"""Crops that bring images of any size to one size."""

import io
import math
from typing import Any

import numpy as np

from rnnjax.data import jpeg_rows
from rnnjax.errors import DataError

_TRIES = 10


def center_crop(image: Any, size: int, channels: int) -> np.ndarray:
    """The center of an image whose shorter side is resized to 8/7 of ``size``, as everyone evaluates ImageNet.

    Args:
      image: a PIL image. One of exactly ``size x size`` pixels is taken as it is.
      size: height and width of the crop, in pixels.
      channels: 1 for grey, 3 for RGB.

    Returns:
      ``[size, size, channels]`` uint8.
    """
    if image.size == (size, size):
        return _pixels(image, channels)
    width, height = image.size
    side = min(width, height) * 7 / 8
    left, top = (width - side) / 2, (height - side) / 2
    return _pixels(_resized(image, (left, top, left + side, top + side), size, channels), channels)


def random_resized_crop(
    image: Any, size: int, channels: int, rng: np.random.Generator, least_area: float
) -> np.ndarray:
    """A random part of an image at one size, flipped half the time (Szegedy et al. 2015, arXiv:1409.4842).

    Args:
      image: a PIL image.
      size: height and width of the crop, in pixels.
      channels: 1 for grey, 3 for RGB.
      rng: decides the part: its area is uniform in ``least_area``..1 of the image's, the logarithm of its aspect
        ratio in that of 3/4..4/3.
      least_area: smallest share of the image's area.

    Returns:
      ``[size, size, channels]`` uint8.
    """
    from PIL import Image

    full_width, full_height = image.size
    left, top, width, height = random_box(full_width, full_height, rng, least_area)
    flip = rng.random() < 0.5
    # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the crop needs no more.
    image.draft(None, (math.ceil(full_width * size / width), math.ceil(full_height * size / height)))
    x, y = image.size[0] / full_width, image.size[1] / full_height
    if y == 1:  # nor are the rows below the crop decoded, but for those that the resizing's filter reaches
        image = jpeg_rows.upper(image, top + height + 1 + max(1, math.ceil(height / size)))
    crop = _resized(image, (left * x, top * y, (left + width) * x, (top + height) * y), size, channels)
    # Pillow flips faster than NumPy copies what it flipped.
    return _pixels(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else crop, channels)


def decode(data: bytes, where: str) -> Any:
    """A PIL image of encoded bytes; its pixels are decoded later, when they are asked for.

    Raises:
      DataError: if it is no image; ``where`` says which.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(data))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not a readable image ({error})") from error


def random_box(width: int, height: int, rng: np.random.Generator, least_area: float) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part that :func:`random_resized_crop` shows, of which it says more."""
    for _ in range(_TRIES):
        area = width * height * rng.uniform(least_area, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    side = min(width, height)  # of a very long image hardly any such part exists
    return (width - side) // 2, (height - side) // 2, side, side


def _resized(image: Any, box: tuple[float, float, float, float], size: int, channels: int) -> Any:
    from PIL import Image

    image = _in_mode(image, channels)
    right, bottom = min(box[2], image.size[0]), min(box[3], image.size[1])
    # The filter grows with the scale, so that shrinking does not alias.
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(*box[:2], right, bottom))


def _pixels(image: Any, channels: int) -> np.ndarray:
    return np.asarray(_in_mode(image, channels), np.uint8).reshape(image.size[1], image.size[0], channels)


def _in_mode(image: Any, channels: int) -> Any:
    """Grey or RGB; an image that is so already is not copied, as Pillow would."""
    mode = "L" if channels == 1 else "RGB"
    image.load()  # whose mode may be another one than the header's
    return image if image.mode == mode else image.convert(mode)

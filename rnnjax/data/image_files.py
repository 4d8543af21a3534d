"""Image files of any kind as arrays of one shape."""

import contextlib
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data.crops import center_crop
from rnnjax.data.files import hidden, is_regular
from rnnjax.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
"""What counts as an image in a folder."""


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image and not hidden."""
    return not hidden(name) and Path(name).suffix.lower() in SUFFIXES


def read(path: Path, shape: tuple[int, int, int], *, center: bool = False) -> np.ndarray:
    """Reads an image file as uint8.

    It is turned as its camera says, its transparent pixels are laid over white, 16 bits become 8, and
    it is converted to grey or RGB and resized. Of an animation it is the first image.

    Args:
      path: the file.
      shape: (height, width, channels) in pixels; one channel is grey, three are RGB.
      center: crop the center as :func:`rnnjax.data.crops.center_crop` does, instead of resizing all of it.

    Raises:
      DataError: if the file is missing, is no readable image, or has so many pixels that Pillow takes
        it for a decompression bomb.
    """
    with _pillows_warnings():
        return _decoded(path, shape, center)


def read_all(
    paths: Sequence[Path], shape: tuple[int, int, int], workers: int = 0
) -> Generator[np.ndarray | DataError, None, None]:
    """Reads image files as :func:`read` does, several at a time.

    Args:
      paths: the files.
      shape: (height, width, channels) in pixels.
      workers: threads; 0: as many as :func:`decoding_threads` says.

    Yields:
      In the order of the paths, each file's pixels, or why it cannot be read.
    """
    from PIL import Image

    def decoded(path: Path) -> np.ndarray | DataError:
        try:
            return _decoded(path, shape, center=False)
        except DataError as error:
            return error

    Image.init()  # two threads that do so at once may each believe that a format is not known
    pool = ThreadPoolExecutor(decoding_threads(workers))
    with _pillows_warnings():
        try:
            yield from pool.map(decoded, paths)
        finally:
            pool.shutdown(cancel_futures=True)  # whoever has met an error does not wait for the rest


def decoding_threads(workers: int) -> int:
    """Threads that decode images: so many, or with 0 one for each core, at most 16."""
    return workers or min(os.cpu_count() or 1, 16)


@contextlib.contextmanager
def _pillows_warnings() -> Iterator[None]:
    """What Pillow warns of: an error, or not worth a word. It holds for the process: one thread enters it for all."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)  # of odd metadata; the pixels are what counts
        yield


def _decoded(path: Path, shape: tuple[int, int, int], center: bool) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    height, width, channels = shape
    try:
        if not is_regular(path):
            raise ValueError("it is not a regular file")
        with Image.open(path) as image:
            longer = 2 * max(width, height)
            image.draft(None, (longer, longer))  # a large JPEG is decoded at about the size that is needed
            image = ImageOps.exif_transpose(image)
            image = _opaque(_eight_bits(image)).convert("L" if channels == 1 else "RGB")
            if center:
                return center_crop(image, height, channels)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(image, np.uint8).reshape(shape)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{path}: not a readable image (it has more than {Image.MAX_IMAGE_PIXELS:,} pixels and may be a "
            "decompression bomb)"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a readable image (its format is not known)") from error
    except Exception as error:  # what decoders raise at broken files has no common name
        raise DataError(f"{path}: not a readable image ({getattr(error, 'strerror', None) or error})") from error


def _eight_bits(image: Any) -> Any:
    """An image whose pixels have 16 bits as one of 8 bits; Pillow's own conversion cuts off at 255."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is not known")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    from PIL import Image

    pixels = np.asarray(image).astype(np.int64)
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise ValueError("its pixels have more than 16 bits")
    return Image.fromarray((pixels // 257).astype(np.uint8))


def _opaque(image: Any) -> Any:
    """An image over white, if it has transparent pixels."""
    if not image.has_transparency_data:
        return image
    from PIL import Image

    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)

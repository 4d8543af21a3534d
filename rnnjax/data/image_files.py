"""Image files of any kind as arrays of one shape."""

import contextlib
import functools
import importlib
import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnjax.data.crops import center_crop
from rnnjax.data.files import hidden, is_regular
from rnnjax.data.image_tree import Entry, Source, Tree
from rnnjax.errors import DataError

HEIF = frozenset({".heic", ".heif", ".hif"})
"""Photos of phones and cameras that Pillow reads with a plug-in."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif"}) | HEIF
"""What counts as an image in a folder."""


class Decoded(NamedTuple):
    """An image file.

    Attributes:
      pixels: uint8 ``[height, width, channels]``, of the size that was asked for.
      size: (width, height) of the file, as it is to be seen.
    """

    pixels: np.ndarray
    size: tuple[int, int]


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image and not hidden."""
    return not hidden(name) and Path(name).suffix.lower() in SUFFIXES


def images(tree: Tree) -> list[Entry]:
    """The images of a tree, in its order."""
    return [entry for entry in tree.files if is_image(entry.parts[-1])]


def reads_heif() -> bool:
    """Whether the plug-in that HEIC files need is installed; it is told to Pillow."""
    return _heif_plugin()


@functools.cache
def _heif_plugin() -> bool:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def read(path: Source, shape: tuple[int, int, int], *, center: bool = False) -> np.ndarray:
    """Reads an image file as uint8.

    It is turned as its camera says, its transparent pixels are laid over white, 16 bits become 8, and
    it is converted to grey or RGB and resized. Of an animation it is the first image.

    Args:
      path: the file, on the disk or in a zip.
      shape: (height, width, channels) in pixels; one channel is grey, three are RGB.
      center: crop the center as :func:`rnnjax.data.crops.center_crop` does, instead of resizing all of it.

    Raises:
      DataError: if the file is missing, is no readable image, or has so many pixels that Pillow takes
        it for a decompression bomb.
    """
    with _pillows_warnings():
        return _decoded(path, shape, center).pixels


def size(path: Source) -> tuple[int, int]:
    """The width and height of an image file, as it is to be seen; raises DataError as :func:`read` does."""
    with _pillows_warnings():
        return _decoded(path, (8, 8, 1), False).size


def read_all(
    paths: Sequence[Source], shape: tuple[int, int, int], workers: int = 0, *, center: bool = False
) -> Generator[Decoded | DataError, None, None]:
    """Reads image files as :func:`read` does, several at a time.

    Args:
      paths: the files.
      shape: (height, width, channels) in pixels.
      workers: threads; 0: as many as :func:`decoding_threads` says.
      center: as of :func:`read`.

    Yields:
      In the order of the paths, each file's pixels and size, or why it cannot be read.
    """
    from PIL import Image

    def decoded(path: Source) -> Decoded | DataError:
        try:
            return _decoded(path, shape, center)
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


def _decoded(path: Source, shape: tuple[int, int, int], center: bool) -> Decoded:
    from PIL import Image, UnidentifiedImageError

    try:
        if isinstance(path, Path) and not is_regular(path):
            raise ValueError("it is not a regular file")
        with _opened(path) as image:
            return _of_shape(image, shape, center)
    except DataError:
        raise
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


def _of_shape(image: Any, shape: tuple[int, int, int], center: bool) -> Decoded:
    from PIL import Image, ImageOps

    height, width, channels = shape
    size, longer = image.size, 2 * max(width, height)
    image.draft(None, (longer, longer))  # a large JPEG is decoded at about the size that is needed
    turned = ImageOps.exif_transpose(image)
    if turned.size != image.size:
        size = size[::-1]
    image = _opaque(_eight_bits(turned)).convert("L" if channels == 1 else "RGB")
    if center:
        return Decoded(center_crop(image, height, channels), size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return Decoded(np.asarray(image, np.uint8).reshape(shape), size)


def _opened(path: Source) -> Any:
    """A file as Pillow opens it; raises DataError if that takes what is not installed."""
    from PIL import Image, UnidentifiedImageError, features

    source = path if isinstance(path, Path) else path.open()
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        suffix = Path(path.name).suffix.lower()
        if suffix == ".avif" and not features.check("avif"):
            raise DataError(f"{path}: this Pillow reads no AVIF: pip install --upgrade pillow") from None
        if suffix not in HEIF and _brand(path) not in _HEIF_BRANDS:
            raise
        if not reads_heif():
            raise DataError(f"{path}: HEIC photos need a plug-in of Pillow: pip install pillow-heif") from None
        return Image.open(source)


def _brand(path: Source) -> bytes:
    """What the first bytes of a file of the family of HEIC and MP4 say that it is, whatever its name."""
    with path.open("rb") if isinstance(path, Path) else path.open() as file:
        start = file.read(12)
    return start[8:] if start[4:8] == b"ftyp" else b""


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

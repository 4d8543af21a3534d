"""Photographs that are made up from a seed: as JPEG files, and as TFDS would have prepared them."""

import io
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.prepared_tfds import write

NAME = "made_photographs"
CLASSES = 10
QUALITY = 90
_CANVAS = 3
"""A canvas is that many times as wide and high as an image, and images are windows on it."""


class Photographs(NamedTuple):
    """What lies in a folder.

    Attributes:
      data_dir: where TFDS finds them as the split ``train`` of :data:`NAME`.
      files: the same images, in the same order, each in a file.
      facts: their number, mean sizes in pixels and KiB, and how they are compressed.
    """

    data_dir: Path
    files: list[str]
    facts: dict[str, Any]


def make(folder: Path, images: int, height: int, width: int) -> Photographs:
    """Writes so many images, whose sides differ by up to 15 % from ``height x width``."""
    files, sizes, encoded = [], [], []
    (folder / "files").mkdir(parents=True)
    for number, pixels in enumerate(_windows(images, height, width)):
        encoded.append(_jpeg(pixels))
        sizes.append(pixels.shape[:2])
        files.append(str(folder / "files" / f"{number:05d}.jpg"))
        Path(files[-1]).write_bytes(encoded[-1])
    examples = [(image, number % CLASSES) for number, image in enumerate(encoded)]
    write(data_dir(folder), NAME, CLASSES, {"train": examples}, shards=1)
    facts = {
        "images": images,
        "height": statistics.mean(int(size[0]) for size in sizes),
        "width": statistics.mean(int(size[1]) for size in sizes),
        "kib": statistics.mean(map(len, encoded)) / 2**10,
        "jpeg": f"baseline, quality {QUALITY}, colors at half the size",
    }
    return Photographs(data_dir(folder), files, facts)


def data_dir(folder: Path) -> Path:
    """Where in a folder TFDS finds what :func:`make` wrote."""
    return folder / "tfds"


def _windows(images: int, height: int, width: int) -> Iterator[np.ndarray]:
    """``[height, width, 3]`` uint8. As in photographs, a pattern is the weaker the finer it is, and colors are weak."""
    rng = np.random.default_rng(0)
    side = _CANVAS * max(height, width)
    light, red, blue = (_canvas(rng, side) for _ in range(3))
    pixels = 125 + 50 * light[..., None] + 15 * np.stack([red, -(red + blue) / 2, blue], -1)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    for _ in range(images):
        high, wide = (round(mean * rng.uniform(0.85, 1.15)) for mean in (height, width))
        top, left = (int(rng.integers(side - length + 1)) for length in (high, wide))
        yield pixels[top : top + high, left : left + wide]


def _canvas(rng: np.random.Generator, side: int) -> np.ndarray:
    """Noise ``[side, side]`` of mean 0 and variance 1, whose amplitudes fall with the frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    real, imaginary = rng.standard_normal((2, *frequency.shape))
    made = np.fft.irfft2((real + 1j * imaginary) / frequency**1.2, (side, side))
    return made / made.std()


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return file.getvalue()

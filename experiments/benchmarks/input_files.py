"""Photographs that are made up from a seed: as JPEG files, and as TFDS would have prepared them."""

import importlib
import io
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

NAME = "made_photographs"
CLASSES = 10
QUALITY = 90
_FEATURES = "tensorflow_datasets.core.features"
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
    _prepare(folder / "tfds" / NAME / "1.0.0", encoded)
    facts = {
        "images": images,
        "height": statistics.mean(int(size[0]) for size in sizes),
        "width": statistics.mean(int(size[1]) for size in sizes),
        "kib": statistics.mean(map(len, encoded)) / 2**10,
        "jpeg": f"baseline, quality {QUALITY}, colors at half the size",
    }
    return Photographs(folder / "tfds", files, facts)


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


def _prepare(home: Path, encoded: Sequence[bytes]) -> None:
    """A set with the features ``image``, of any size, and ``label``, in one file of array_record."""
    from array_record.python.array_record_module import ArrayRecordWriter

    examples: Any = importlib.import_module("tensorflow_datasets.proto.tf_example_generated_pb2")
    home.mkdir(parents=True)
    writer = ArrayRecordWriter(str(home / f"{NAME}-train.array_record-00000-of-00001"), "group_size:1")
    for number, image in enumerate(encoded):
        example = examples.Example()
        example.features.feature["image"].bytes_list.value.append(image)
        example.features.feature["label"].int64_list.value.append(number % CLASSES)
        writer.write(example.SerializeToString())
    writer.close()
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    split = {"name": "train", "filepathTemplate": template, "shardLengths": [str(len(encoded))]}
    split |= {"numBytes": str(sum(map(len, encoded)))}
    info = {"name": NAME, "version": "1.0.0", "fileFormat": "array_record", "splits": [split]}
    image = {"dtype": "uint8", "encodingFormat": "jpeg", "shape": {"dimensions": ["-1", "-1", "3"]}}
    label = {"numClasses": str(CLASSES)}
    features = {
        "image": {"image": image, "pythonClassName": f"{_FEATURES}.image_feature.Image"},
        "label": {"classLabel": label, "pythonClassName": f"{_FEATURES}.class_label_feature.ClassLabel"},
    }
    root = {"featuresDict": {"features": features}, "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict"}
    (home / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    (home / "features.json").write_text(json.dumps(root), encoding="utf-8")

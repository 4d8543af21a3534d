"""From raw input to a model's input. A preprocessing is saved beside the checkpoints as plain JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnjax.data import image_files
from rnnjax.data.tokens import TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.errors import DataError, RnnjaxError
from rnnjax.files import read_json, write_text


@dataclass(frozen=True)
class ImagePreprocess:
    """Images of one size, normalised by the training split's mean and standard deviation.

    Attributes:
      shape: (height, width, channels) in pixels.
      mean, std: one value a channel, of pixels scaled to 0..1; a channel that is constant has std 1.
      class_names: names of the classes in the order of their numbers.
      center_crop: whether a file of another size is cropped as the evaluation's images were, or only resized.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    center_crop: bool = False

    @classmethod
    def fit(cls, images: np.ndarray, class_names: Sequence[str]) -> "ImagePreprocess":
        """Takes the statistics of training images ``[N, height, width, channels]``."""
        scale = _scale(images)
        mean = images.mean((0, 1, 2), dtype=np.float64) * scale
        std = one_where_constant(images.std((0, 1, 2), dtype=np.float64) * scale, mean, images[..., 0].size)
        return cls(tuple(images.shape[1:]), tuple(mean.tolist()), tuple(std.tolist()), tuple(class_names))

    def normalize(self, images: Any) -> Any:
        """Stored pixels ``[..., channels]`` to the model's float32, inside or outside a compiled step."""
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        return (images.astype(jnp.float32) * _scale(images) - mean) / std

    def __call__(self, images: np.ndarray) -> dict[str, Any]:
        """A model's arguments for images ``[B, height, width, channels]`` of uint8 or floats in 0..1."""
        images = np.asarray(images)
        if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
            raise DataError(f"images must be uint8 (0..255) or floats (0..1), got {images.dtype}; .astype(np.uint8)?")
        if images.shape[1:] != self.shape:
            raise DataError(f"images must have shape [B, {', '.join(map(str, self.shape))}], got {images.shape}")
        return {"inputs": self.normalize(images)}

    def read(self, path: Path) -> np.ndarray:
        """Reads an image file as uint8 of this shape, by :func:`rnnjax.data.image_files.read`.

        Raises:
          DataError: if the file is missing or is no readable image.
        """
        return image_files.read(path, self.shape, center=self.center_crop)


@dataclass(frozen=True)
class TextPreprocess:
    """Documents as token ids with lengths.

    Attributes:
      vocabulary: tokens in the order of their ids.
      max_length: the most tokens of a document that are kept.
      class_names: names of the classes in the order of their numbers.
      tokenizer: name of what splits a document, in :data:`rnnjax.data.tokens.TOKENIZERS`.
    """

    vocabulary: Vocabulary
    max_length: int
    class_names: tuple[str, ...]
    tokenizer: str = "words"

    def normalize(self, ids: Any) -> Any:
        """Token ids need no normalisation."""
        return ids

    def __call__(self, documents: Sequence[str]) -> dict[str, Any]:
        """A model's arguments for documents: ids ``[B, max_length]`` and ``lengths [B]``."""
        if isinstance(documents, str) or not all(isinstance(document, str) for document in documents):
            raise DataError("documents must be a list of strings, such as ['one document']")
        ids, lengths = self.vocabulary.encode(map(TOKENIZERS[self.tokenizer], documents), self.max_length)
        return {"inputs": ids, "lengths": lengths}


Preprocess = ImagePreprocess | TextPreprocess


def to_json(preprocess: Preprocess) -> dict[str, Any]:
    """A preprocessing as JSON values."""
    if isinstance(preprocess, TextPreprocess):
        return asdict(preprocess) | {"kind": "text", "vocabulary": list(preprocess.vocabulary.words)}
    return asdict(preprocess) | {"kind": "image"}


def one_where_constant(std: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Standard deviations to divide by: 1 in place of one that is 0, or nothing but the rounding of a constant.

    As scikit-learn's StandardScaler does it, by the error of a variance that is computed in two passes (Chan, Golub &
    LeVeque 1983, "Algorithms for computing the sample variance"): ``count * eps * var + (count * eps * mean)^2``.

    Args:
      std, mean: one value a channel, computed in float64.
      count: how many values each was computed from.
    """
    error = count * np.finfo(np.float64).eps
    return np.where(std**2 <= error * std**2 + (error * mean) ** 2, 1.0, std)


def save(preprocess: Preprocess, path: Path) -> None:
    """Writes a preprocessing as JSON."""
    write_text(path, json.dumps(to_json(preprocess), ensure_ascii=False) + "\n")


def load(path: Path) -> Preprocess:
    """Reads what :func:`save` wrote.

    Raises:
      DataError: if the file is missing or is not one of these.
    """
    try:
        data = read_json(path, "a preprocessing")
        return _text(data) if data["kind"] == "text" else _image(data)
    except (RnnjaxError, ValueError, KeyError, TypeError, OverflowError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: not a readable preprocessing ({said})") from error


def _text(data: dict[str, Any]) -> TextPreprocess:
    tokenizer = data.get("tokenizer", "words")  # older work folders know of no other
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"no tokenizer {tokenizer!r}")
    longest = data["max_length"]
    _require(type(longest) is int and longest > 0, "max_length", longest)
    vocabulary = Vocabulary(_strings(data, "vocabulary", UNKNOWN + 1))
    return TextPreprocess(vocabulary, longest, _strings(data, "class_names", 2), tokenizer)


def _image(data: dict[str, Any]) -> ImagePreprocess:
    shape = data["shape"]
    _require(isinstance(shape, list) and len(shape) == 3, "shape", shape)
    _require(all(type(side) is int and side > 0 for side in shape), "shape", shape)
    height, width, channels = shape
    mean, std = (tuple(data[name]) for name in ("mean", "std"))
    for name, values in (("mean", mean), ("std", std)):
        numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
        _require(len(values) == channels and numbers, name, list(values))
    _require(min(std) > 0, "std", list(std))
    names, crop = _strings(data, "class_names", 2), bool(data.get("center_crop", False))
    return ImagePreprocess((height, width, channels), mean, std, names, crop)


def _strings(data: dict[str, Any], name: str, least: int) -> tuple[str, ...]:
    values = data[name]
    ok = isinstance(values, list) and len(values) >= least and all(isinstance(value, str) for value in values)
    _require(ok, name, values)
    return tuple(values)


def _require(ok: bool, name: str, value: Any) -> None:
    if not ok:
        raise ValueError(f"{name} cannot be {str(value)[:60]}")


def _scale(images: Any) -> float:
    return 1 / 255 if images.dtype == np.uint8 else 1.0

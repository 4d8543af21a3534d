"""What an exported program is given: its arguments, of which axes are free, and a sample of them."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnjax.data.reading import Input
from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.runs.predict import Predictor

_ROWS = 3
"""Examples of a sample where the batch is free."""


class Like(NamedTuple):
    """Shape, with a name in the place of an axis of any size, and dtype of an argument."""

    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]

    def to_json(self) -> list[Any]:
        """As JSON values."""
        return [list(self.shape), self.dtype.name]


def plain(dtype: Any) -> np.dtype[Any]:
    """The dtype as which NumPy's files hold it: bfloat16 and others that are not NumPy's own are float32 there."""
    dtype = np.dtype(dtype)
    return dtype if dtype.isbuiltin == 1 else np.dtype(np.float32)


def arguments(predictor: Predictor, batch: int | None, length: int | None) -> dict[str, Like]:
    """The stored arrays that a model is given, by name.

    Args:
      predictor: the model.
      batch: rows; None: any number.
      length: steps; None: any number, where the model takes any.

    Raises:
      UsageError: if a size is none, or the model reads sequences of one length alone.
    """
    for name, size in (("--batch", batch), ("--length", length)):
        if size is not None and size < 1:
            raise UsageError(f"{name} must be positive, got {size}")
    spec, stored = predictor.spec, _answered(predictor)
    sequences = [like.shape[1] for like in stored.values() if len(like.shape) > 1]
    several = "lengths" in spec.inputs or predictor.task.generates
    if length is not None and not several:
        raise UsageError("--length is of models that read sequences of any length; this one reads examples of one size")
    free = several and len(set(sequences)) == 1
    steps = ("time" if length is None else length,) if free else ()
    rows = "batch" if batch is None else batch
    found = {name: Like((rows, 0), like.dtype) for name, like in _unknown(predictor).items()}
    for name, like in stored.items():
        rest = (*steps, *like.shape[2:]) if steps and len(like.shape) > 1 else like.shape[1:]
        found[name] = Like((rows, *rest), like.dtype)
    return {name: found[name] for name in predictor.spec.inputs}


def _answered(predictor: Predictor) -> dict[str, Any]:
    """What a model reads of an example to answer it: of one that writes, all but the targets."""
    stored = predictor.preprocess.stored(predictor.spec)
    return {name: like for name, like in stored.items() if name not in _unknown(predictor)}


def _unknown(predictor: Predictor) -> dict[str, Any]:
    """What a model is told in training and nobody knows of a new example: the targets that are to be written."""
    stored = predictor.preprocess.stored(predictor.spec)
    return {"targets": stored["targets"]} if predictor.task.writes and "targets" in stored else {}


def sample(predictor: Predictor, likes: Mapping[str, Like], folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """A few examples in the shapes of the arguments, and where they are from.

    Args:
      predictor: the model.
      likes: its arguments.
      folder: of samples that a run left; where there are none that can be read, they are drawn at random.
    """
    stored, names = _read(predictor, folder)
    if not stored:
        stored, names = _drawn(predictor, likes), []
    rows = next(iter(likes.values())).shape[0]
    count = len(next(iter(stored.values())))
    chosen = np.arange(min(count, _ROWS) if isinstance(rows, str) else int(rows)) % count
    cut = {name: _fitted(stored[name][chosen], like) for name, like in likes.items()}
    if "lengths" in cut:
        steps = min((array.shape[1] for array in cut.values() if array.ndim > 1), default=0)
        cut["lengths"] = np.minimum(cut["lengths"], steps)
        cut = _without_padding(cut, likes)
    return cut, [names[row].removeprefix(f"{folder}{os.sep}") for row in chosen] if names else []


def _read(predictor: Predictor, folder: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    try:
        paths = sorted(map(str, folder.iterdir())) if folder.is_dir() else []
        found: list[Input] = list(itertools.islice(predictor.preprocess.read(paths, [], None), _ROWS)) if paths else []
        raw = [read() for _, read in found]
        return (dict(predictor.preprocess.encode(raw)) if raw else {}), [name for name, _ in found]
    except (RnnjaxError, OSError):  # a sample is a help: without one it is drawn
        return {}, []


def _drawn(predictor: Predictor, likes: Mapping[str, Like]) -> dict[str, np.ndarray]:
    draw, drawn = np.random.default_rng(0), {}
    stored = _answered(predictor)
    for name in _unknown(predictor):
        drawn[name] = np.zeros((_ROWS, 0), likes[name].dtype)
    for name, like in stored.items():
        shape = (_ROWS, *like.shape[1:])
        dtype = likes[name].dtype
        if name == "lengths":
            steps = min(other.shape[1] for other in stored.values() if len(other.shape) > 1)
            drawn[name] = draw.integers(1, steps + 1, _ROWS).astype(dtype)
        elif np.issubdtype(dtype, np.integer):
            most = predictor.spec.vocabulary or (256 if dtype == np.uint8 else 2)
            drawn[name] = draw.integers(0, most, shape).astype(dtype)
        else:
            drawn[name] = draw.normal(size=shape).astype(dtype)
    return drawn


def _fitted(array: np.ndarray, like: Like) -> np.ndarray:
    """The array with as many steps as are asked for: cut, or followed by zeros."""
    if len(like.shape) < 2 or isinstance(like.shape[1], str):
        return array.astype(like.dtype)
    missing = max(like.shape[1] - array.shape[1], 0)
    padded = np.pad(array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2))
    return padded[:, : like.shape[1]].astype(like.dtype)


def _without_padding(stored: Mapping[str, np.ndarray], likes: Mapping[str, Like]) -> dict[str, np.ndarray]:
    most = max(int(stored["lengths"].max()), 1)
    free = [name for name, like in likes.items() if "time" in like.shape]
    return {name: array[:, :most] if name in free else array for name, array in stored.items()}

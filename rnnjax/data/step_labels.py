"""Labels of steps: a class number for each step of a sequence, ``[N, T]``, and -1 where a step has none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnjax.data import given
from rnnjax.errors import DataError

UNLABELLED = -1
"""Stands at steps without a label, and at those after a row's end."""


def step_labels(
    y: Any, inputs: Mapping[str, np.ndarray], lengths: np.ndarray | None, timed: Sequence[str], *, padded: bool
) -> np.ndarray:
    """A user's labels as they are stored.

    Args:
      y: integers ``[N, T]``, whose padding holds one value, or a list of rows of integers.
      inputs: padded, ``[N, T, ...]``.
      lengths: ``[N]``, the steps of each row; None: all have T.
      timed: names of the inputs whose axis 1 is time; empty where rows have one length.
      padded: whether the inputs were given padded, so that a list's rows may be too; each is else as long as its row of
        the inputs.

    Returns:
      ``[N, T]`` int32, -1 at all steps after a row's end.

    Raises:
      DataError: if they are anything else, or a row has more or fewer labels than steps.
    """
    name, steps = _time(inputs, timed)
    rows, count = _rows(y), len(inputs[name])
    if len(rows) != count:
        raise DataError(f"{name} has {count} rows, but y has {len(rows)}")
    if lengths is not None and (lengths.shape != (count,) or lengths.dtype.kind not in "iu"):
        lengths = None  # which is refused with the examples
    real = np.full(count, steps) if lengths is None else lengths
    sizes = np.array([len(row) for row in rows], np.int64)
    may_be_padded = padded or isinstance(rows, np.ndarray)
    if (wrong := (sizes != real) & ((sizes != steps) | (not may_be_padded))).any():
        row = int(wrong.argmax())
        raise DataError(f"y[{row}] has {sizes[row]} labels, but row {row} of {name} has {real[row]} steps")
    labels = np.full((count, steps), UNLABELLED, np.int32)
    for place, row in zip(labels, rows, strict=True):
        place[: len(row)] = row
    return _without_padding(labels, real, sizes)


def _time(inputs: Mapping[str, np.ndarray], timed: Sequence[str]) -> tuple[str, int]:
    """The name of an input whose axis 1 is time, and the size of that axis."""
    deep = [name for name, array in inputs.items() if array.ndim > 2]
    names = list(timed) or deep or [name for name, array in inputs.items() if array.ndim > 1]
    if not names:
        raise DataError(f"labels of steps need inputs [N, T, ...], got {', '.join(inputs)} without a time axis")
    if not inputs[names[0]].shape[1]:
        raise DataError(f"{names[0]} has no steps to label, {list(inputs[names[0]].shape)}")
    return names[0], inputs[names[0]].shape[1]


def _rows(y: Any) -> Any:
    """Rows of integers: a matrix, or a list of arrays of any lengths."""
    listed = isinstance(y, list | tuple) or getattr(getattr(y, "dtype", None), "kind", "") == "O"
    if not listed:
        return _integers("y", y, 2)
    return [_integers(f"y[{number}]", row, 1) for number, row in enumerate(y)]


def _integers(name: str, values: Any, axes: int) -> np.ndarray:
    wanted = "labels [N, T]" if axes == 2 else "a row of labels"
    try:
        made = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{name} is no array: {error}") from error
    if made.ndim != axes:
        raise DataError(f"{name} must be {wanted}, an integer a step, got {list(made.shape)}")
    if made.dtype.kind in "USO":
        raise DataError(
            f"{name} must hold numbers of classes, got {made.dtype}; number them, "
            "number = {name: n for n, name in enumerate(names)}, and give names=names"
        )
    if made.size and made.dtype.kind not in "biu":
        raise DataError(f"{name} must hold integers, the number of a class at each step, got {made.dtype}")
    return given.array(name, made).astype(np.int32)


def _without_padding(labels: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Labels with -1 after each row's end; different values there mean that lengths and labels do not fit."""
    place = np.arange(labels.shape[1])
    after = place >= lengths[:, None]
    written = after & (place < sizes[:, None])
    values, counts = np.unique(labels[written], return_counts=True)
    if len(values) > 1:
        row = int((written & (labels != values[counts.argmax()])).any(1).argmax())
        raise DataError(
            f"y[{row}] has labels after its {lengths[row]} steps; padding holds one value throughout, such as -1"
        )
    return np.where(after, UNLABELLED, labels).astype(np.int32)


def check_step_labels(dataset: Any) -> None:
    """Raises DataError unless each split has labels ``[N, T]``: classes of its specification within the rows' lengths.

    The training split must have two classes or more.
    """
    for split, examples in dataset.splits().items():
        _check_split(f"{dataset.name}: ", split, examples, dataset.spec.outputs)
    labels = dataset.train["labels"]
    if len(np.unique(labels[labels >= 0])) < 2:
        raise DataError(f"{dataset.name}: the training split has one class only; a tagger needs two")


def _check_split(of: str, split: str, examples: Any, classes: int) -> None:
    if "labels" not in examples.arrays:
        has = ", ".join(examples.arrays)
        raise DataError(f"{of}labels of steps are integers [N, T] called labels; {split} has {has}")
    labels = examples["labels"]
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise DataError(f"{of}labels of steps must be integers [N, T], got {labels.dtype} {list(labels.shape)}")
    if examples.lengths is not None:
        _check_lengths(of, split, examples)
    if not (labels >= 0).any():
        raise DataError(f"{of}no step of {split} has a label")
    outside = (labels < UNLABELLED) | (labels >= classes)
    if outside.any():
        row, step = (int(index[0]) for index in np.nonzero(outside))
        raise DataError(
            f"{of}label {int(labels[row, step])} at step {step} of example {row} in {split} lies outside the {classes} "
            f"classes 0..{classes - 1}, and -1 for a step without a label"
        )


def _check_lengths(of: str, split: str, examples: Any) -> None:
    labels = examples["labels"]
    if "labels" not in examples.timed:
        raise DataError(f"{of}labels of steps must be among the timed arrays of {split}, got {examples.timed}")
    for name in examples.timed:
        if examples[name].shape[1] != labels.shape[1]:
            raise DataError(f"{of}{name} of {split} has {examples[name].shape[1]} steps, but labels {labels.shape[1]}")
    late = (labels >= 0) & (np.arange(labels.shape[1]) >= examples.lengths[:, None])
    if late.any():
        row, step = (int(index[0]) for index in np.nonzero(late))
        raise DataError(
            f"{of}example {row} in {split} has a label at step {step}, but {int(examples.lengths[row])} steps; "
            "write -1 after a row's end"
        )

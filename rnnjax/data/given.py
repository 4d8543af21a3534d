"""Arrays as they come from a user, in training and in prediction alike: lists are padded, 64 bits become 32."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.data.spec import flat
from rnnjax.errors import DataError


def stacked(x: Any, lengths: Any = None) -> tuple[dict[str, np.ndarray], np.ndarray | None, tuple[str, ...]]:
    """A model's inputs by name, ``[N, ...]``.

    Args:
      x: an array, or a list of arrays ``[T, ...]`` of different lengths T; or a dictionary or tuple of these.
      lengths: ``[N]`` of padded rows; None: those of the lists.

    Returns:
      The arrays, the lengths where rows have some, and the names of the arrays whose axis 1 is time: the lists of
      different lengths, where there are none the arrays of three axes and more, and where there are none all.

    Raises:
      DataError: if they are no arrays of numbers, or lists differ in their rows' lengths.
    """
    trees = x if isinstance(x, Mapping) else {"inputs": x}
    leaves = {path: leaf for name, tree in trees.items() for path, leaf in flat(name, tree).items()}
    ragged = [path for path, leaf in leaves.items() if isinstance(leaf, list) and _differ_in_length(leaf)]
    if ragged and lengths is None:
        lengths = np.array([len(row) for row in leaves[ragged[0]]], np.int32)
        for path in ragged[1:]:
            if [len(row) for row in leaves[path]] != lengths.tolist():
                raise DataError(f"the rows of {path} are not as long as those of {ragged[0]}; give padded arrays")
    arrays = {path: _padded(path, leaf) if path in ragged else array(path, leaf) for path, leaf in leaves.items()}
    if lengths is None:
        return arrays, None, ()
    lengths = _integers("lengths", lengths)
    # Beside sequences [N, T, ...], an array [N, features] is none, though it may have as many features as they steps.
    deep = [path for path, part in arrays.items() if part.ndim > 2]
    timed = ragged or deep or [path for path, part in arrays.items() if part.ndim > 1]
    return arrays, lengths, tuple(timed)


def array(path: str, given: Any) -> np.ndarray:
    """As an array that the devices take; ``path`` is what errors call it."""
    try:
        made = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{path} is no array: {error}") from error
    if made.dtype == np.float64:
        with np.errstate(over="ignore"):  # infinity is refused with the examples
            return made.astype(np.float32)
    if made.dtype in (np.int64, np.uint64):
        if made.size and (made.min() < -(2**31) or made.max() >= 2**31):
            raise DataError(f"{path} has integers of more than 32 bits")
        return made.astype(np.int32)
    if made.dtype.kind not in "biufV":
        raise DataError(f"{path} must hold numbers, got {made.dtype}")
    return made


def _differ_in_length(rows: list[Any]) -> bool:
    return len({np.shape(row)[:1] for row in rows}) > 1


def _padded(path: str, rows: list[Any]) -> np.ndarray:
    arrays = [array(f"{path}[{number}]", row) for number, row in enumerate(rows)]
    inner = {row.shape[1:] for row in arrays}
    if len(inner) > 1 or any(row.ndim < 1 for row in arrays):
        raise DataError(f"the rows of {path} must be [T, ...] alike but for T, got {sorted(map(str, inner))[:3]}")
    longest = max(len(row) for row in arrays)
    out = np.zeros((len(arrays), longest, *inner.pop()), np.result_type(*{row.dtype for row in arrays}))
    for place, row in zip(out, arrays, strict=True):
        place[: len(row)] = row
    return out


def _integers(name: str, given: Any) -> np.ndarray:
    made = array(name, given)
    return made.astype(np.int32) if made.dtype.kind in "iu" else made  # anything else is refused with the examples

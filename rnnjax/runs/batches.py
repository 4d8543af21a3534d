"""A function of a model over many stored rows: in batches of like lengths, on all devices, in bounded memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.training.parallel import DataParallel

FEW = 64
"""Rows that are one batch on one device. Of more, each device of a CPU has as many: its caches hold them."""

_MOST = 1024
_STEPS = 2**14
"""Rows of a batch at most elsewhere, and steps of all of those that a device has."""


class Batch(NamedTuple):
    """Rows that are computed together.

    Attributes:
      rows: ``[B]`` numbers of rows; behind the real ones the first again, so that few sizes are compiled.
      real: how many are real.
      steps: to which their sequences are cut; None: to none.
    """

    rows: np.ndarray
    real: int
    steps: int | None = None


def planned(
    count: int, lengths: np.ndarray | None, allowed: Sequence[int], devices: int, *, large: bool = False
) -> list[Batch]:
    """Batches of ``count`` rows: of like lengths, each cut to the shortest length that holds it.

    Args:
      count: of rows.
      lengths: ``[N]`` of their sequences; None: they have one size.
      allowed: lengths to cut to, rising; empty: no row is cut.
      devices: over which a batch divides.
      large: whether a device has more than a few short rows at once.
    """
    order, fits = np.arange(count), np.full(count, len(allowed))
    if lengths is not None and allowed:
        fits = np.searchsorted(np.asarray(allowed), np.asarray(lengths))
        # The longest first: they show what memory is needed. Rows of a single batch stay as they are.
        order = np.argsort(-np.asarray(lengths), kind="stable") if count > devices * FEW else order
    made, start = [], 0
    while start < count:
        place = int(fits[order[start : start + devices * FEW]].max())
        steps = allowed[place] if place < len(allowed) else None
        size = _size(count - start, steps, devices) if large else devices * FEW
        part = order[start : start + size]
        made.append(Batch(np.concatenate([part, np.full(size - len(part), part[0])]), len(part), steps))
        start += size
    return made


def _size(left: int, steps: int | None, devices: int) -> int:
    """Rows of a batch of so many that are left: one of two sizes for each number of steps, since each compiles."""
    fewest = devices * FEW
    if left <= fewest or steps is None:
        return fewest
    return devices * max(FEW, min(_MOST // devices, 2 ** int(np.log2(_STEPS / steps))))


def taken(arrays: Mapping[str, Any], batch: Batch, timed: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows of a batch of every array, the timed ones cut."""
    made = {}
    for name, array in arrays.items():
        part = np.asarray(array[batch.rows])
        made[name] = part[:, : batch.steps] if name in timed and batch.steps is not None else part
    return made


class Spread:
    """A function of variables and a batch's arrays, over all devices of this process.

    Args:
      function: of variables and one device's rows; its results have a row each, or are sums over the rows.
      variables: of a model.
    """

    def __init__(self, function: Callable[[Any, Any], Any], variables: Any):
        self._parallel = DataParallel()
        self._devices = len(self._parallel.devices)
        self._variables = self._parallel.replicate(variables)
        self._function = self._parallel.spread(function, (None, 0), 0)
        if self._devices == 1:  # the same without what several devices cost at each call

            def alone(variables: Any, split: Any) -> Any:
                made = function(variables, jax.tree.map(lambda array: array[0], split))
                return jax.tree.map(lambda leaf: leaf[None], made)

            self._function = jax.jit(alone)

    def planned(self, count: int, lengths: np.ndarray | None, allowed: Sequence[int]) -> list[Batch]:
        """Batches for these devices, see :func:`planned`."""
        return planned(count, lengths, allowed, self._devices, large=self._parallel.platform != "cpu")

    def begun(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The results of a batch's arrays ``[B, ...]``: ``[devices, ...]``, on the devices, which may be at work."""
        # Not -1, which NumPy cannot tell of an array without elements, such as targets that nobody knows yet.
        split = {
            name: array.reshape(self._devices, len(array) // self._devices, *array.shape[1:])
            for name, array in arrays.items()
        }
        return self._function(self._variables, split)


def flat(made: Any) -> Any:
    """Results of several devices ``[devices, B, ...]`` as those of their rows."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), made)


def in_order(parts: Sequence[tuple[Batch, Any]], count: int) -> Any:
    """Results ``[B, ...]`` of batches as one tree ``[N, ...]`` in the order of the rows.

    Where batches were cut to different lengths, what they made of a row's steps is followed by zeros.
    """

    def joined(*leaves: np.ndarray) -> np.ndarray:
        widest = np.max([leaf.shape[1:] for leaf in leaves], axis=0) if leaves[0].ndim > 1 else ()
        whole = np.zeros((count, *map(int, widest)), leaves[0].dtype)
        for (batch, _), leaf in zip(parts, leaves, strict=True):
            places = (batch.rows[: batch.real], *(slice(0, size) for size in leaf.shape[1:]))
            whole[places] = leaf[: batch.real]
        return whole

    return jax.tree.map(joined, *(made for _, made in parts))

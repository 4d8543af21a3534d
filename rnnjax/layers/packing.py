"""Sequences of unequal lengths, several to a row, so that there is little padding to compute.

A recurrence over padded rows computes padding too. Packed, a row holds one sequence after the other, and ``resets``
keep them apart::

    packing = rnnjax.pack([5, 3, 2, 6], steps=8)  # on the host, of lengths alone
    _, outputs = layer.apply(variables, packing.rows(inputs), mask=packing.mask, resets=packing.resets)
    outputs = packing.sequences(outputs)  # [N, T, H] again

Axes: N sequences, T their padded length, R rows, S steps of a row.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnnjax.errors import UsageError

Array = jax.Array


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("places", "origins", "lengths"), meta_fields=("steps",)
)
@dataclasses.dataclass(frozen=True)
class Packing:
    """Where each step of N sequences lies in R rows; made by :func:`pack`.

    It is a tree of arrays, so that a jitted function takes it as an argument: packings of as many sequences, steps and
    rows, and of one padded length (``rows=`` and ``longest=`` of :func:`pack`), share one program.

    Attributes:
      places: ``[N]``, where each sequence starts in the rows, counted row after row.
      origins: ``[R, S]``, which step stands at a place: ``sequence * steps + step``, and -1 at padding.
      lengths: ``[N]``, steps of each sequence.
      steps: T, the padded length of the sequences.
    """

    places: Any
    origins: Any
    lengths: Any
    steps: int

    @property
    def mask(self) -> Any:
        """``[R, S]``, True where a row holds a step; what a layer takes as ``mask``."""
        return self.origins >= 0

    @property
    def resets(self) -> Any:
        """``[R, S]``, True at each sequence's first step; what a layer takes as ``resets``."""
        return self.mask & (self.origins % self.steps == 0)

    def rows(self, sequences: Any) -> Array:
        """The sequences in rows: ``[N, T, ...]``, or a list of N arrays ``[length, ...]``, to ``[R, S, ...]``.

        What is padding in the rows is zero.

        Raises:
          UsageError: if they are other sequences than those that the packing was made for.
        """
        if isinstance(sequences, Sequence):
            sequences = self._padded(sequences)
        count, steps = self._checked("sequences", sequences, 2, (len(self.lengths), None))
        if steps < self.steps:
            raise UsageError(f"Packing.rows: sequences of {self.steps} steps, but the array holds {steps}")
        flat = jnp.reshape(sequences, (count * steps, *sequences.shape[2:]))
        origins = jnp.asarray(self.origins)
        at = jnp.where(origins < 0, count * steps, origins // self.steps * steps + origins % self.steps)
        return _taken(flat, at)

    def sequences(self, rows: Array, steps: int | None = None) -> Array:
        """What was made of the rows, by sequence: ``[R, S, ...]`` to ``[N, T, ...]``, zero at padding.

        Args:
          rows: such as a layer's outputs, or the carries of all steps.
          steps: T; the length of the longest sequence by default.

        Raises:
          UsageError: if there are other rows than the packing has, or a sequence is longer than T.
        """
        flat, steps = self._flat(rows), self.steps if steps is None else steps
        if steps < self.steps:
            raise UsageError(f"Packing.sequences: the longest sequence has {self.steps} steps, and steps is {steps}")
        within = jnp.arange(steps)[None]
        real = within < jnp.asarray(self.lengths)[:, None]
        return _taken(flat, jnp.where(real, jnp.asarray(self.places)[:, None] + within, flat.shape[0]))

    def first(self, rows: Array) -> Array:
        """What stands in the rows at each sequence's first step: ``[R, S, ...]`` to ``[N, ...]``."""
        return self._at(rows, jnp.asarray(self.places))

    def last(self, rows: Array) -> Array:
        """As :meth:`first`, at each sequence's last step; of the carries of all steps these are the last carries.

        Zero for a sequence without steps.
        """
        return self._at(rows, jnp.asarray(self.places) + jnp.asarray(self.lengths) - 1)

    def _at(self, rows: Array, places: Array) -> Array:
        flat = self._flat(rows)
        return _taken(flat, jnp.where(jnp.asarray(self.lengths) > 0, places, flat.shape[0]))

    def _flat(self, rows: Array) -> Array:
        self._checked("rows", rows, 2, self.origins.shape)
        return jnp.reshape(rows, (self.origins.size, *rows.shape[2:]))

    def _checked(self, what: str, array: Any, axes: int, wanted: tuple[int | None, ...]) -> tuple[int, ...]:
        shape = jnp.shape(array)[:axes]
        if len(shape) < axes or any(size not in (None, got) for size, got in zip(wanted, shape, strict=True)):
            form = ", ".join("T" if size is None else str(size) for size in wanted)
            raise UsageError(f"Packing: {what} must have shape [{form}, ...], got {list(jnp.shape(array))}")
        return shape

    def _padded(self, sequences: Sequence[Any]) -> np.ndarray:
        if not sequences:
            raise UsageError("Packing.rows: an empty list has no features; give an array [0, T, D]")
        arrays = [np.asarray(sequence) for sequence in sequences]
        lengths = [len(array) for array in arrays]
        if lengths != list(self.lengths):
            raise UsageError(f"Packing.rows: sequences of lengths {_few(lengths)}, packed were {_few(self.lengths)}")
        padded = np.zeros((len(arrays), self.steps, *arrays[0].shape[1:]), arrays[0].dtype)
        for place, array in enumerate(arrays):
            padded[place, : len(array)] = array
        return padded


def pack(lengths: Any, steps: int | None = None, rows: int | None = None, longest: int | None = None) -> Packing:
    """Puts sequences into rows of one length, the longest first, each into the first row that has room for it.

    (First-fit decreasing; it needs at most 11/9 of the fewest rows possible, and one more: Johnson 1973, "Near-optimal
    bin packing algorithms".) On the host, in NumPy: lengths must be known.

    Args:
      lengths: ``[N]`` integers, steps of each sequence; one without steps takes no room.
      steps: S, of a row; as many as the longest sequence has by default. Longer rows waste less and are fewer.
      rows: R; as many as it takes by default, but at least one.
      longest: T, the padded length of the sequences; that of the longest by default. With the same steps, rows and
        longest for all batches, what is jitted compiles once.

    Raises:
      UsageError: if lengths are no integers, a sequence is longer than a row, or the rows do not suffice.
    """
    if isinstance(lengths, Tracer):
        raise UsageError("pack: lengths must be known; pack on the host, and hand the packing to what is jitted")
    if isinstance(lengths, Sequence) and any(np.ndim(each) for each in lengths):
        raise UsageError(
            "pack: lengths must be integers [N], got sequences; pack([len(each) for each in sequences]) makes the "
            "packing, and its rows(sequences) packs them"
        )
    counts = np.asarray(lengths) if np.size(lengths) else np.zeros(0, np.int32)
    if counts.ndim != 1 or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise UsageError(f"pack: lengths must be integers [N], none below 0, got {counts.dtype} {list(counts.shape)}")
    most = max(1, int(counts.max(initial=0)))
    size, longest = most if steps is None else steps, most if longest is None else longest
    if size < most:
        raise UsageError(f"pack: the longest sequence has {most} steps, and a row has {size}; give more steps")
    if longest < most:
        raise UsageError(f"pack: the longest sequence has {most} steps, and longest is {longest}")
    starts, used = _first_fit(counts, size)
    if rows is not None and used > rows:
        raise UsageError(f"pack: the sequences take {used} rows of {size} steps, and rows is {rows}")
    origins = np.full((used if rows is None else rows) * size, -1, np.int32)
    for number, (start, count) in enumerate(zip(starts, counts, strict=True)):
        origins[start : start + count] = number * longest + np.arange(count)
    return Packing(starts.astype(np.int32), origins.reshape(-1, size), counts.astype(np.int32), longest)


def _first_fit(counts: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Where each sequence starts, counted row after row, and how many rows are used."""
    room, starts, used = np.full(len(counts), size), np.zeros(len(counts), np.int64), 1
    for number in np.argsort(-counts, kind="stable"):
        if not counts[number]:
            break  # it takes no room, and neither do those behind it
        row = int(np.argmax(room[: used + 1] >= counts[number]))  # one that is not used yet has room
        used = max(used, row + 1)
        starts[number] = row * size + size - room[row]
        room[row] -= counts[number]
    return starts, used


def _taken(flat: Array, places: Array) -> Array:
    """``flat [P, ...]`` at each place, and zero where that is P."""
    if not flat.shape[0]:
        return jnp.zeros((*places.shape, *flat.shape[1:]), jnp.asarray(flat).dtype)
    return jnp.take(flat, places, axis=0, mode="fill", fill_value=0)


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"[{shown}, ...]" if len(numbers) > 5 else f"[{shown}]"

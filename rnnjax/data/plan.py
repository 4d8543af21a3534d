"""The plan: which examples are in which step, decided on the host by the seed and the epoch alone.

A plan is a list of chunks, and a chunk is what one compiled call works through: K batches of B
rows, all padded to one length. Whatever feeds the steps follows the plan, so a position in the
data is the number of a chunk, and a resumed run continues exactly where it stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnnjax.errors import DataError


@dataclass(frozen=True)
class Chunk:
    """K batches of B examples.

    Attributes:
      length: the padded length T of its sequences, or one for each array that is timed; None where inputs have one
        size.
      rows: ``[K, B]`` int32 row numbers in the split.
      mask: ``[K, B]`` booleans, False at padding rows. A batch without a real row is no step.
    """

    length: Any
    rows: np.ndarray
    mask: np.ndarray

    @property
    def steps(self) -> int:
        return int(self.mask.any(1).sum())

    @property
    def examples(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True)
class Plan:
    """Every example once an epoch, shuffled; sequences are padded to the smallest bucket that holds them.

    Another order is another class with these two methods, an :class:`Order`.

    Attributes:
      buckets: padded lengths, rising; empty where all rows have one size.
    """

    buckets: tuple[int, ...] = ()

    def train(self, examples: "Sized", *, seed: int, epoch: int, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One epoch of training: shuffled, every batch full, the epoch's tail dropped.

        What does not fill a batch in its bucket moves on to the next larger one, so that less than one batch an epoch
        is dropped.

        Raises:
          DataError: if a sequence is longer than the last bucket.
        """
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(len(examples)).astype(np.int32)
        chunks: list[Chunk] = []
        carried = order[:0]
        for length, rows in self.by_bucket(order, examples):
            rows = np.concatenate([carried, rows])
            full = len(rows) // batch_size * batch_size
            carried = rows[full:]
            if full:
                batches = rows[:full].reshape(-1, batch_size)
                chunks += _chunks(length, batches, np.ones(batches.shape, bool), steps_per_call)
        if len(self.buckets) > 1:
            chunks = [chunks[i] for i in rng.permutation(len(chunks))]
        return chunks

    def evaluate(self, examples: "Sized", *, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One pass over a split in order: nothing dropped, the last batch of each bucket padded and masked.

        Raises:
          DataError: if a sequence is longer than the last bucket.
        """
        chunks: list[Chunk] = []
        for length, rows in self.by_bucket(np.arange(len(examples), dtype=np.int32), examples):
            if len(rows):
                batches, mask = _pad(rows, -(-len(rows) // batch_size) * batch_size)
                batches, mask = batches.reshape(-1, batch_size), mask.reshape(-1, batch_size)
                chunks += _chunks(length, batches, mask, steps_per_call)
        return chunks

    def by_bucket(self, rows: np.ndarray, examples: "Sized") -> Sequence[tuple[Any, np.ndarray]]:
        """The rows of each bucket, the shortest first, with its padded length."""
        return _by_bucket(rows, examples.lengths, self.buckets)


@dataclass(frozen=True)
class Streams:
    """Rows that follow each other: a stream of them is read by each row of a batch, and goes on in the next batch.

    The examples are windows of a text or a series, in its order, and are cut into as many runs of windows as a batch
    has rows. So row b of a step goes on where row b of the step before it ended, and a model whose recurrence is
    :class:`rnnjax.Carried` reads each run as one sequence.
    """

    def train(self, examples: "Sized", *, seed: int, epoch: int, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One epoch: all streams are of one length. Windows that are left over, fewer than a batch, are dropped, and
        which of them at the beginning and which at the end differs by epoch.
        """
        steps = len(examples) // batch_size
        first = np.random.default_rng((seed, epoch)).integers(len(examples) - steps * batch_size + 1)
        batches = (first + _in_streams(steps, batch_size)).astype(np.int32)
        return _chunks(None, batches, np.ones(batches.shape, bool), steps_per_call) if steps else []

    def evaluate(self, examples: "Sized", *, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One pass in which every window counts once; each stream is begun without what precedes it."""
        batches = _in_streams(-(-len(examples) // batch_size), batch_size)
        mask = batches < len(examples)
        return _chunks(None, np.where(mask, batches, 0).astype(np.int32), mask, steps_per_call)


class Order(Protocol):
    """What a plan is, of this package or of one's own. Both methods are pure: their arguments alone decide."""

    def train(self, examples: "Sized", *, seed: int, epoch: int, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One epoch of training, the same number of steps in each."""
        ...

    def evaluate(self, examples: "Sized", *, batch_size: int, steps_per_call: int) -> list[Chunk]:
        """One pass over a split in which each example counts once."""
        ...


class Sized(Protocol):
    """What a plan has to know of a split."""

    @property
    def lengths(self) -> np.ndarray | None:
        """``[N]``, the steps of each row; None where all rows have one size."""
        ...

    def __len__(self) -> int:
        """The number of examples."""
        ...


def steps_per_epoch(chunks: Sequence[Chunk]) -> int:
    """The number of real steps in a plan. It is the same for every epoch of a split."""
    return sum(chunk.steps for chunk in chunks)


def padding_share(chunks: Sequence[Chunk], lengths: np.ndarray) -> float:
    """The share of a plan's steps over sequences that are padding, whole padding rows left out.

    Args:
      chunks: of the plan.
      lengths: ``[N]``, or ``[N, arrays]`` where each timed array has a padded length of its own.
    """
    cut = [chunk for chunk in chunks if chunk.length is not None]
    steps = sum(int(np.sum(chunk.length)) * chunk.examples for chunk in cut)
    real = sum(int(lengths[chunk.rows[chunk.mask]].sum()) for chunk in cut)
    return 1 - real / steps if steps else 0.0


def calls_evenly(steps: int, most: int) -> int:
    """Steps a call, at most ``most``, such that the last call wastes the fewest; ties go to longer calls."""
    if steps <= most:
        return steps
    return min(range(most, max(most // 2, 1) - 1, -1), key=lambda k: (-steps % k, -k))


def _in_streams(steps: int, streams: int) -> np.ndarray:
    """Numbers of windows ``[steps, streams]``: down a column they follow each other, and the columns in turn."""
    return np.arange(streams * steps).reshape(streams, steps).T


def _by_bucket(rows: np.ndarray, lengths: np.ndarray | None, buckets: Sequence[int]):
    if lengths is None or not buckets:
        return [(None, rows)]
    longest = int(lengths[rows].max(initial=0))
    if longest > buckets[-1]:
        raise DataError(f"a sequence has {longest} steps, longer than the largest bucket, {buckets[-1]}")
    which = np.searchsorted(np.asarray(buckets), lengths[rows])
    return [(int(length), rows[which == i]) for i, length in enumerate(buckets)]


def _chunks(length: int | None, batches: np.ndarray, mask: np.ndarray, most: int) -> list[Chunk]:
    # Every chunk of a bucket has the same K, so that each bucket compiles once; the few batches
    # that fill up the last chunk have no real row, and the compiled step leaves the state as it is.
    size = calls_evenly(len(batches), most)
    missing = -len(batches) % size
    batches = np.concatenate([batches, np.zeros((missing, batches.shape[1]), np.int32)])
    mask = np.concatenate([mask, np.zeros((missing, mask.shape[1]), bool)])
    return [Chunk(length, batches[i : i + size], mask[i : i + size]) for i in range(0, len(batches), size)]


def _pad(rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    padded = np.zeros(size, np.int32)
    padded[: len(rows)] = rows
    return padded, np.arange(size) < len(rows)

"""The order of pairs: buckets of a source's and a target's padded length together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax.data.examples import Examples
from rnnjax.data.plan import Plan
from rnnjax.errors import DataError

Bucket = tuple[int, int]
"""Padded lengths of a source and of its target."""


@dataclass(frozen=True)
class PairPlan(Plan):
    """As :class:`rnnjax.data.Plan`; a pair is in the first bucket that holds both its source and its target.

    Attributes:
      buckets: rising in both lengths.
    """

    buckets: tuple[Bucket, ...] = ()  # pyright: ignore[reportIncompatibleVariableOverride]

    def by_bucket(self, rows: np.ndarray, examples: Any) -> Sequence[tuple[Bucket, np.ndarray]]:
        """The rows of each bucket, the shortest first; raises DataError if a pair is longer than the last."""
        lengths = _lengths(examples)[rows]
        fits = np.all(lengths[:, None] <= np.array(self.buckets), axis=-1)  # [N, buckets]
        if not fits[:, -1].all():
            longest = " and ".join(map(str, lengths.max(0)))
            raise DataError(f"pairs have up to {longest} steps, more than the largest bucket, {self.buckets[-1]}")
        which = fits.argmax(1)
        return [(bucket, rows[which == number]) for number, bucket in enumerate(self.buckets)]


def pair_buckets(train: Examples, longest: Bucket) -> tuple[Bucket, ...]:
    """At most four buckets, lengths being multiples of 4: for a third of the training pairs, and for more, and for all.

    One that is not a quarter smaller than the next saves less padding than its compilation costs, and is left out.

    Args:
      train: the training pairs.
      longest: the most steps of a source and of a target.
    """
    lengths, chosen = _lengths(train), [longest]
    for share in (0.95, 0.7, 0.35):
        found = np.quantile(lengths, share, axis=0, method="higher")
        source, target = (min(-(-int(length) // 4) * 4, most) for length, most in zip(found, chosen[0], strict=True))
        if 0 < source + target <= 0.75 * sum(chosen[0]):
            chosen.insert(0, (source, target))
    return tuple(chosen)


def _lengths(examples: Any) -> np.ndarray:
    """``[N, 2]``, of sources and of targets."""
    return np.stack([examples.lengths, examples["targets_lengths"]], 1)

"""Medians, quartiles, ratios and geometric means of samples."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile, interpolated as NumPy does.

    Raises:
      ValueError: without samples.
    """
    samples = list(samples)
    if not samples:
        raise ValueError("no samples")
    low, middle, high = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else samples * 3
    return low, middle, high


def geometric_mean(values: Iterable[float]) -> float | None:
    """The geometric mean of positive numbers, None of none."""
    values = list(values)
    return statistics.geometric_mean(values) if values else None


class Timings:
    """The rows of a ``layers`` result file, looked up by what they are."""

    def __init__(self, rows: Iterable[dict[str, Any]]):
        self.rows = list(rows)
        self._by_key = {self._key(**row): row for row in self.rows if row["samples"]}

    @staticmethod
    def _key(*, cell: str, form: str, mode: str, shape: Sequence[int], peer: str, devices: int, **_: Any) -> tuple:
        return cell, form, mode, tuple(shape), peer, devices

    def samples(self, **key: Any) -> list[float] | None:
        """The seconds of the row, None where there are none."""
        row = self._by_key.get(self._key(**key))
        return row["samples"] if row else None

    def median(self, **key: Any) -> float | None:
        """The median of the row's seconds, None where there are none."""
        samples = self.samples(**key)
        return quartiles(samples)[1] if samples else None

    def shapes(self) -> list[tuple[int, ...]]:
        """All shapes, in the order of the rows."""
        return list(dict.fromkeys(tuple(row["shape"]) for row in self.rows))

    def ratio(self, numerator: dict[str, Any], denominator: dict[str, Any]) -> float | None:
        """The ratio of two medians, None where one is missing."""
        above, below = self.median(**numerator), self.median(**denominator)
        return above / below if above is not None and below is not None else None

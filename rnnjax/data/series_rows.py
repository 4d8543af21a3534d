"""Rows of a series: in the order of time, equal steps apart, and without cells that hold nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnjax.data import times
from rnnjax.data.times import Step, Times
from rnnjax.errors import DataError

_MOST_ROWS = 50_000_000
"""A table with gaps is not filled up to more rows than this."""
_WHOLE = "give the model a file without that"
"""What to do about a file that a trained model is to read: options are of the training."""


@dataclass
class Rows:
    """Rows as they were read, which each method changes into what the next one takes.

    Attributes:
      path: of the table.
      names: of the columns.
      places: where each row stands.
      said: lines for the user, to which the methods add.
      values: ``[T, C]`` float64, NaN where a cell holds nothing.
      times: of the rows; None: there are none.
      first: how many rows of the table stand before them.
    """

    path: Path
    names: Sequence[str]
    places: Sequence[str]
    said: list[str]
    values: np.ndarray
    times: Times | None
    first: int = 0

    def order(self) -> None:
        """Puts rows in the order of their times, where the newest stands first.

        Raises:
          DataError: if they are in no order, or two have one time.
        """
        read = self._read
        apart = np.diff(read.values)
        zero = apart.dtype.type(0)
        if len(apart) and (apart < zero).all():
            self.said.append("the newest row stands first: rows were turned round")
            self._take(np.arange(len(self.values))[::-1], read.values[::-1])
            return
        if (apart == zero).any():
            row = int((apart == zero).argmax())
            raise DataError(
                f"{self.places[row + 1]}: the time {read.text(read.values[row])} stands here and in "
                f"{self.places[row]}; a row a time is needed, and of several series one a file{self._clocks(apart)}"
            )
        if (apart < zero).any():
            at = self._after(int((apart < zero).argmax()))
            raise DataError(f"{at}; sort the rows by time{self._clocks(apart)}")

    def even(self, gaps: str, known: Step | None) -> Step:
        """Makes rows equal steps apart, or takes them so; the step.

        Args:
          gaps: what becomes of rows that are missing, see :class:`rnnjax.data.series.Reading`.
          known: the step of the rows that a model was trained on; None: it is found.

        Raises:
          DataError: if they are not, and nothing is to be done about it.
        """
        read = self._read
        if known is not None and (read.format == times.NUMBER) != (known.unit == "numbers"):
            kinds = ("numbers", "dates") if read.format == times.NUMBER else ("dates", "numbers")
            raise DataError(f"{self.path}: its times are {kinds[0]}, and the model was trained on {kinds[1]}")
        step, apart = times.step_of(read.values, known)
        if (apart == 1).all():
            return step
        if known is not None:
            self._refuse_other_step(apart, known, gaps)
        if gaps == "keep":
            odd = f"{int((apart != 1).sum()):,} of {len(apart):,} steps are not the usual one of {step.times(1)}"
            self.said.append(f"{odd}; rows are taken as equal steps")
            return step
        self._refuse_uneven(apart, step, gaps, known)
        counts = np.append(apart.astype(np.int64), 1)
        rows = np.repeat(np.arange(len(self.values)), counts)
        filled, begins = read.values[rows], np.cumsum(counts) - counts
        for before in np.flatnonzero(counts > 1):
            begin, more = begins[before] + 1, int(counts[before]) - 1
            filled[begin : begin + more] = times.continued(read.values[before], step, more, read.values)
        self._take(rows, filled)
        return step

    def _refuse_other_step(self, apart: np.ndarray, known: Step, gaps: str) -> None:
        """Raises DataError where no row is a step of the training after the one before it, but most are another one.

        Where rows were taken as equal steps, times may be of no step at all, and two rows say nothing of one.
        """
        own, of_own = times.step_of(self._read.values)
        even = len(apart) > 1 and 2 * (of_own == 1).sum() > len(apart)
        if (apart != 1).all() and (even or gaps != "keep"):
            raise DataError(
                f"{self.path}: rows are {own.times(1)} apart, and the model was trained on rows {known.times(1)} apart"
            )

    def _refuse_uneven(self, apart: np.ndarray, step: Step, gaps: str, known: Step | None) -> None:
        """Raises DataError unless rows are missing that may be filled, which is then said."""
        at, missing = self._after(int((apart != 1).argmax())), int(apart.sum()) - len(apart)
        keep = "take rows as equal steps by --data.gaps keep" if known is None else _WHOLE
        if not ((apart == np.round(apart)).all() and (apart >= 1).all()):
            raise DataError(f"{at}, where the usual step is {step.times(1)}: times are not evenly spaced; {keep}")
        if gaps == "refuse":
            fill = "fill them by --data.gaps forward, or " if known is None else ""
            raise DataError(
                f"{at}, where the step is {step.times(1)}; {missing:,} row{'s' * (missing != 1)} in all are missing: "
                f"{fill}{keep}"
            )
        if missing + len(self.values) > _MOST_ROWS:
            raise DataError(f"{at}: {missing:,} rows would have to be filled; {keep}")
        filled = "1 row that is missing was" if missing == 1 else f"{missing:,} rows that are missing were"
        self.said.append(f"{filled} filled by the row before; first {at}")

    def fill(self, missing: str, *, trained: bool) -> None:
        """Leaves no cell that holds nothing.

        Args:
          missing: what becomes of them, see :class:`rnnjax.data.series.Reading`.
          trained: whether it is for a model that is trained.

        Raises:
          DataError: if they are to be refused, or a column holds nothing at all.
        """
        empty = np.isnan(self.values)
        if not empty.any():
            return
        row, column = (int(part) for part in np.argwhere(empty)[0])
        counted = (
            f"{int(empty.sum()):,} of {empty.size:,} cells hold no number, first {self.places[row]}, "
            f"column {self.names[column]!r}"
        )
        if nothing := [name for name, held in zip(self.names, (~empty).sum(0).tolist(), strict=True) if not held]:
            raise DataError(f"{self.path}: column {nothing[0]!r} holds no number; leave it out by --data.columns")
        if missing == "refuse":
            hint = _WHOLE if trained else "give the number of the row before by --data.missing forward"
            raise DataError(f"{counted}; {hint}")
        self.said.append(f"{counted}: filled by the row before")
        before = np.maximum.accumulate(np.where(empty, -1, np.arange(len(empty))[:, None]), 0)
        first = int((before >= 0).all(1).argmax())
        if first:
            self.said.append(f"the first {first:,} rows were left out: there is no number before theirs")
        self.first += first
        self.values = np.take_along_axis(self.values, np.maximum(before, 0), 0)
        self._take(np.arange(first, len(empty)), None if self.times is None else self.times.values[first:])

    def _clocks(self, apart: np.ndarray) -> str:
        """What to do where a few rows are up to an hour back, as when clocks are set back; elsewhere nothing."""
        if apart.dtype.kind != "m":
            return ""
        hour, back = np.timedelta64(1, "h"), apart[apart <= np.timedelta64(0)]
        if np.median(apart) > hour or (back < -hour).any() or 50 * len(back) > len(apart):
            return ""
        return (
            "; if the clocks were set back there, write times with their offset (02:00+01:00) or in UTC, or take rows "
            "as equal steps by --data.time-column ''"
        )

    @property
    def _read(self) -> Times:
        assert self.times is not None
        return self.times

    def _after(self, row: int) -> str:
        """That a row stands after the one before it, and when both are."""
        earlier, later = (self._read.text(self._read.values[at]) for at in (row, row + 1))
        return f"{self.places[row + 1]}: {later} stands after {earlier}"

    def _take(self, rows: np.ndarray, values: np.ndarray | None) -> None:
        """Goes on with these rows, at these times."""
        self.values = self.values[rows]
        self.places = [self.places[int(row)] for row in rows]
        if values is not None:
            self.times = Times(values, self._read.format, self._read.shown)

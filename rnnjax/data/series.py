"""A table whose rows follow each other in time: its columns of numbers, checked, with the times of its rows."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from rnnjax.data import times
from rnnjax.data.preprocess import require
from rnnjax.data.row_numbers import number_rows
from rnnjax.data.sequence_cells import with_commas
from rnnjax.data.series_rows import Rows
from rnnjax.data.tables import Table, read_table
from rnnjax.data.times import Step, Times
from rnnjax.errors import DataError

TIME_COLUMNS = ("time", "date", "datetime", "timestamp", "ds")
"""Columns that are taken for the times when none is named; the first of these that a table has."""
MAYBE_TIMES = ("day", "week", "month", "quarter", "year", "period", "hour")
"""Likewise, if what they hold rises from row to row."""

Missing = Literal["refuse", "forward"]
Gaps = Literal["refuse", "forward", "keep"]

_NOTHING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "."}
_SHOWN = 8


@dataclass(frozen=True)
class Reading:
    """How a table is read as a series, in training and in prediction alike.

    Attributes:
      columns: to forecast, in this order; empty: all that hold numbers.
      time_column: of the times; None: the first that looks like one; empty: none, rows are equal steps.
      time_format: of the times; None: it is found out.
      missing: what becomes of a cell without a number: it is refused, or has the number of the row before.
      gaps: what becomes of rows that are missing: they are refused, filled by the row before, or nothing is done, and
        rows are steps whatever time lies between them.
      delimiter, encoding, header: of the file, see :func:`rnnjax.data.tables.read_table`.
    """

    columns: tuple[str, ...] = ()
    time_column: str | None = None
    time_format: str | None = None
    missing: Missing = "refuse"
    gaps: Gaps = "refuse"
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, but for the columns: these are part of what a model answers."""
        return {name: value for name, value in asdict(self).items() if name != "columns"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`, with ``columns``; ValueError, KeyError or TypeError at what is none."""
        made = cls(**{**values, "columns": tuple(values["columns"])})
        for name in ("time_column", "time_format", "delimiter", "encoding"):
            require(isinstance(values[name], str | None), name, values[name])
        require(all(isinstance(name, str) for name in made.columns), "columns", made.columns)
        require(made.header in (None, True, False), "header", made.header)
        require(made.missing in ("refuse", "forward"), "missing", made.missing)
        require(made.gaps in ("refuse", "forward", "keep"), "gaps", made.gaps)
        return made


@dataclass(frozen=True)
class Series:
    """Columns of numbers, a row a step.

    Attributes:
      name: of the file.
      values: ``[T, C]`` float64, finite.
      times: of the rows, None where the table has none.
      step: between a row and the next.
      reading: how it was read, with the columns and the format that were found.
      understood: what a user should know of it, a line each.
      first: how many rows of the table stand before these and were left out.
    """

    name: str
    values: np.ndarray
    times: Times | None
    step: Step
    reading: Reading
    understood: tuple[str, ...] = ()
    first: int = 0

    def time(self, row: int) -> str:
        """When a row is, counted from 0."""
        return f"row {self.first + row + 1:,}" if self.times is None else self.times.text(self.times.values[row])

    def after(self, count: int) -> list[str]:
        """The times of so many rows after the last."""
        if self.times is None:
            return [str(self.first + len(self.values) + number) for number in range(1, count + 1)]
        ahead = times.continued(self.times.values[-1], self.step, count, self.times.values)
        return [self.times.text(time) for time in ahead]


def read(path: Path, reading: Reading, step: Step | None = None) -> Series:
    """Reads a table as a series.

    Args:
      path: of the table.
      reading: how it is read.
      step: between its rows, where it must be the one of another series.

    Raises:
      DataError: if it cannot be read, or what it holds is no series; it names the row and says what to do.
    """
    table = read_table(path, delimiter=reading.delimiter, encoding=reading.encoding, header=reading.header)
    if not len(table.places):
        raise DataError(f"{path}: there is no row in it")
    return _Reader(table, reading, step).series()


class _Reader:
    """From a table to a series."""

    def __init__(self, table: Table, reading: Reading, step: Step | None):
        self.table, self.reading, self.known, self.said = table, reading, step, list(table.understood)
        self.places = list(table.places)

    def series(self) -> Series:
        found = self._times()
        names = self._columns(found[0] if found else None)
        values = np.stack([self._numbers(name) for name in names], 1)
        read = None if found is None else found[1]
        rows = Rows(self.table.path, names, self.places, self.said, values, read)
        step = Step()
        if read is not None:
            rows.order()
            step = rows.even(self.reading.gaps, self.known)
        rows.fill(self.reading.missing, trained=self.known is not None)
        values, read = rows.values, rows.times
        column, shape = (found[0], read.format) if found and read else ("", None)
        kept = Reading(**{**asdict(self.reading), "columns": tuple(names), "time_column": column, "time_format": shape})
        series = Series(self.table.path.name, values, read, step, kept, first=rows.first)
        return replace(series, understood=(*self.said, *_said(series)))

    def _times(self) -> tuple[str, Times] | None:
        """The column of times, and what it holds."""
        given, there = self.reading.time_column, self.table.columns
        if given == "":
            return None
        if given is not None:
            self._there(given)
            return given, times.parsed(self.table.values[given], self.places, given, self.reading.time_format)
        by_name = {re.sub(r"[\s_-]", "", name.lower()): name for name in reversed(there)}
        for name in (by_name[name] for name in TIME_COLUMNS if name in by_name):
            return name, times.parsed(self.table.values[name], self.places, name, self.reading.time_format)
        for name in (by_name[name] for name in MAYBE_TIMES if name in by_name):
            if (found := self._rising(name)) is not None:
                return name, found
        for name in there:
            texts = [text for value in self.table.values[name][:200] if (text := times.text_of(value))]
            if times.fits(texts) not in ([], [times.NUMBER]):
                return name, times.parsed(self.table.values[name], self.places, name, self.reading.time_format)
        self.said.append("no column of times was found: rows are taken as equal steps (--data.time-column names one)")
        return None

    def _rising(self, name: str) -> Times | None:
        """The times in a column that is perhaps one of times."""
        try:
            found = times.parsed(self.table.values[name], self.places, name, self.reading.time_format)
        except DataError:
            return None
        apart = np.diff(found.values)
        return found if (apart > apart.dtype.type(0)).all() else None

    def _there(self, name: str) -> None:
        if name not in self.table.columns:
            raise DataError(f"{self.table.path}: there is no column {name!r}; its columns are {self._listed()}")

    def _listed(self) -> str:
        shown = ", ".join(map(repr, self.table.columns[:_SHOWN]))
        return shown + (", ..." if len(self.table.columns) > _SHOWN else "")

    def _columns(self, time: str | None) -> list[str]:
        """The columns to forecast."""
        for name in self.reading.columns:
            self._there(name)
        if self.reading.columns:
            return list(self.reading.columns)
        found, left = [], []
        for name in self.table.columns:
            if name == time:
                continue
            if not self._mostly_numbers(name):
                left.append(f"{name!r} ({self._why_none(name)})")
            elif self._counts(name):
                left.append(f"{name!r} (numbers of rows)")
            else:
                found.append(name)
        if left:
            self.said.append(f"left out: {', '.join(left[:_SHOWN])}{', ...' if len(left) > _SHOWN else ''}")
        if not found:
            times = [] if time is None else [repr(time)]
            shown = f"{', '.join([*times, *left[:_SHOWN]])}{', ...' * (len(left) > _SHOWN)}"
            raise DataError(f"{self.table.path}: no column holds numbers to forecast; it has {shown}")
        return found

    def _why_none(self, name: str) -> str:
        held = [str(value).strip() for value in self.table.values[name][:100] if not _nothing(value)]
        said = [with_commas(text) for text in held if _number(text) is None]
        if not said or not all(said):
            return "no numbers"
        return f"numbers; {said[0]}" if "1234" in said[0] else "numbers with a comma; write a point"

    def _mostly_numbers(self, name: str) -> bool:
        """Whether at least half of a column's cells that hold anything hold numbers: the others are then mistakes."""
        held = [value for value in self.table.values[name][:10_000] if not _nothing(value)]
        return bool(held) and 2 * sum(_number(value) is not None for value in held) >= len(held)

    def _counts(self, name: str) -> bool:
        """Whether it is a column without a name of its own that numbers the rows."""
        numbers, first = [_number(value) for value in self.table.values[name]], name == self.table.columns[0]
        if number_rows(numbers, name, nameless=self.table.header, first=first and name in ("", "column1")):
            return True
        if not re.fullmatch(r"unnamed: \d+|row|id|column\d+", name.strip().lower()):
            return False
        if None in numbers or not np.isfinite(made := np.array(numbers, float)).all():
            return False
        return bool((np.diff(made) == 1).all())

    def _numbers(self, name: str) -> np.ndarray:
        """The column as float64, NaN where a cell holds nothing."""
        out = np.empty(len(self.places))
        for row, value in enumerate(self.table.values[name]):
            number = math.nan if _nothing(value) else _number(value)
            if number is None or math.isinf(number):
                shown = str(value).strip()[:40]
                hint = with_commas(shown) or "correct it, or leave the column out by --data.columns"
                raise DataError(f"{self.places[row]}: column {name!r} has {shown!r}, which is no finite number; {hint}")
            out[row] = number
        return out


def _said(series: Series) -> list[str]:
    """What was understood of a series that is read."""
    count, columns = len(series.values), series.reading.columns
    lines = [f"{count:,} rows"]
    if series.times is not None:
        lines[0] += (
            f", {series.time(0)} to {series.time(count - 1)}, {series.step.times(1)} from row to row "
            f"(column {series.reading.time_column!r})"
        )
    shown = ", ".join(columns[:_SHOWN]) + (", ..." if len(columns) > _SHOWN else "")
    lines.append(f"{len(columns)} column{'s' * (len(columns) > 1)} to forecast: {shown}")
    constant = [name for name, span in zip(columns, np.ptp(series.values, 0), strict=True) if span == 0]
    if constant:
        lines.append(f"constant: {', '.join(constant[:_SHOWN])}{', ...' if len(constant) > _SHOWN else ''}")
    return lines


def _nothing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) or (isinstance(value, str) and "_" in value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None

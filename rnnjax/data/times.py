"""A column of times: which format it is in, the step from row to row, and how the times go on."""

import calendar
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from rnnjax.data.sequence_cells import rounded
from rnnjax.errors import DataError

ISO = "iso"
"""Format of what :meth:`datetime.datetime.fromisoformat` reads, whether with a time of day, and with a zone, or not."""
NUMBER = "number"
"""Format of plain numbers: years, seconds, or numbers of rows."""

_DATES = (
    *("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y"),
    *("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%Y%m%d", "%Y%m"),
)
_DIGITS = {"%Y%m%d": 8, "%Y%m": 6}
"""Of dates without a mark between their parts: Python would find some in other numbers too, as 2024-11-1 in 2024111."""
_RECENT = re.compile(r"(1[6-9]|2[01])\d\d\d\d")
"""Six digits that are taken for a month where its format is not said."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
FORMATS = tuple(f"{date}{clock}" for date in _DATES for clock in _CLOCKS)
"""Those that are tried where a time is not in the form of ISO 8601; a format may be said in their place."""

Unit = Literal["microseconds", "weekdays", "months", "numbers"]
_UNITS = {"day": 86_400_000_000, "hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}
_PROBE = 200
"""Rows by which formats are chosen that are then tried on all."""


class Step(NamedTuple):
    """What lies between a row and the next.

    Attributes:
      count: how many units; whole, but for numbers.
      unit: of the times: microseconds, days from Monday to Friday, months, or numbers.
    """

    count: float = 1
    unit: Unit = "numbers"

    def times(self, steps: int) -> str:
        """So many steps in words, such as ``4 days``."""
        count = self.count * steps
        if self.unit == "months":
            return _counted(count / 12, "year") if count % 12 == 0 else _counted(count, "month")
        if self.unit == "weekdays":
            return _counted(count, "weekday")
        if self.unit == "numbers":
            return f"{count:.12g}"
        for name, size in _UNITS.items():
            if count % size == 0 or (count % 1_000_000 and name == "second"):
                return _counted(count / size, name)
        return _counted(count / 1_000_000, "second")


@dataclass(frozen=True)
class Times:
    """Times of rows, as they were read.

    Attributes:
      values: ``[T]``, datetime64 in microseconds, of a zone in UTC; or float64 numbers.
      format: in which they were written, one of :data:`FORMATS`, one's own, :data:`ISO` or :data:`NUMBER`.
      shown: as :meth:`datetime.datetime.strftime` writes them; empty: as ISO 8601.
    """

    values: np.ndarray
    format: str
    shown: str = ""

    def text(self, time: Any) -> str:
        """A time, such as one of ``values``, in the format of the column."""
        if self.format == NUMBER:  # seconds since 1970 and the like have all their digits
            return str(int(time)) if float(time).is_integer() else f"{float(time):.15g}"
        moment = np.datetime64(time, "us").item()
        if not isinstance(moment, datetime.datetime):  # after the year 9999, which Python's do not know
            return str(time)
        return moment.strftime(self.shown) if self.shown else moment.isoformat(sep=" ")


def parsed(values: Sequence[Any], places: Sequence[str], column: str, given: str | None = None) -> Times:
    """The times in a column.

    Args:
      values: strings, dates or numbers, a row each.
      places: where each row stands.
      column: what it is called.
      given: its format; None: it is found out.

    Raises:
      DataError: at the first that is no time, with what to do about it.
    """
    texts = [text_of(value) for value in values]
    for text, place in zip(texts, places, strict=True):
        if not text:
            raise DataError(f"{place}: there is no time in column {column!r}; give each row its time")
    fitting = [given] if given else fits(texts[:_PROBE]) or fits(texts[:1])
    if not fitting:
        raise DataError(
            f"{places[0]}: column {column!r} has {texts[0][:40]!r}, which is in no format of times known here; "
            "say its format, such as --data.time-format '%d.%m.%Y %H:%M', or name another column by "
            "--data.time-column ('' for none)"
        )
    if NUMBER in fitting and (row := next((row for row, text in enumerate(texts) if rounded(text)), None)) is not None:
        raise DataError(
            f"{places[row]}: column {column!r} has {texts[row][:40]}, of more digits than numbers keep here; write "
            "times in a coarser unit, or as dates"
        )
    read, problem = [], None
    for format in fitting:
        made, bad = _all(texts, format)
        if made is not None:
            read.append(made)
        elif problem is None or bad > problem[0]:
            problem = bad, format
    if not read:
        bad, format = problem or (0, fitting[0])
        raise DataError(
            f"{places[bad]}: column {column!r} has {texts[bad][:40]!r}, which is no time in the format of the rows "
            f"before it ({format}); correct it, or say the format by --data.time-format"
        )
    return read[0] if len(read) == 1 else _likely(read, places[0], column)


def fits(texts: Sequence[str]) -> list[str]:
    """The formats in which all of these are times: numbers only where they are no dates."""
    if not texts:
        return []
    found = [format for format in (ISO, *FORMATS) if _read(texts[0], format) is not None]
    found = [format for format in found if all(_read(text, format) is not None for text in texts)]
    if "%Y%m" in found and not all(map(_RECENT.fullmatch, texts)):
        found.remove("%Y%m")
    if ISO in found:
        return [ISO]
    return found or ([NUMBER] if all(_number(text) is not None for text in texts) else [])


def _likely(read: list[Times], place: str, column: str) -> Times:
    """Of formats that all fit, such as days before or after months, the one in which the rows follow each other."""
    regular = [times for times in read if _even(times.values)] or [times for times in read if _rising(times.values)]
    distinct = {times.values.tobytes(): times for times in reversed(regular)}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    raise DataError(
        f"{place}: the times in column {column!r} may be in the format {' or '.join(times.format for times in read)}; "
        "say which by --data.time-format"
    )


def _rising(values: np.ndarray) -> bool:
    steps = np.diff(values.astype(np.int64))
    return bool((steps > 0).all() or (steps < 0).all())


def _even(values: np.ndarray) -> bool:
    if not _rising(values):
        return False
    apart = values if values[0] <= values[-1] else values[::-1]
    return bool((step_of(apart)[1] == 1).all())


def _all(texts: Sequence[str], format: str) -> tuple[Times | None, int]:
    """All times in a format, or the number of the first that is in another."""
    made: list[Any] = []
    zoned = False
    for number, text in enumerate(texts):
        time = _number(text) if format == NUMBER else _read(text, format)
        aware = isinstance(time, datetime.datetime) and time.tzinfo is not None
        if time is None or (made and aware != zoned):
            return None, number
        zoned = aware
        made.append(time)
    if format == NUMBER:
        return Times(np.array(made, np.float64), NUMBER), 0
    if zoned:
        made = [time.astimezone(datetime.UTC).replace(tzinfo=None) for time in made]
    shown = _style(texts[0], zoned) if format == ISO else format
    return Times(np.array(made, "datetime64[us]"), format, shown), 0


def _style(text: str, zoned: bool) -> str:
    """How times that look like this one are written."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return "%Y-%m-%d"
    if re.search(r":\d\d[.,]\d", text):  # parts of a second
        return ""
    between = "T" if "T" in text else " "
    return f"%Y-%m-%d{between}%H:%M:%S{'+00:00' if zoned else ''}" if re.search(r"\d:\d\d", text) else ""


def text_of(value: Any) -> str:
    """A cell of a column of times as a string, empty where it holds nothing."""
    if isinstance(value, datetime.date):  # of Parquet; a datetime is one too
        return value.isoformat()
    return "" if value is None else str(value).strip()


def _read(text: str, format: str) -> datetime.datetime | None:
    try:
        if format != ISO:
            digits = _DIGITS.get(format.split(" ")[0])
            known = digits is None or re.match(rf"\d{{{digits}}}(?!\d)", text)
            return datetime.datetime.strptime(text, format) if known else None
        # Eight digits are a date of ISO 8601; a number is none.
        return datetime.datetime.fromisoformat(text) if re.match(r"\d{4}-\d|\d{8}T", text) else None
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def differences(values: np.ndarray, known: Unit | None = None) -> tuple[np.ndarray, Unit]:
    """What lies between rows ``[T - 1]``, and the unit: the known one, or one that is even."""
    if values.dtype.kind == "f":
        return np.diff(values), "numbers"
    micro = np.diff(values.astype("datetime64[us]").astype(np.int64))
    months = values.astype("datetime64[M]")
    apart = np.diff(months.astype(np.int64))
    offset = values - months.astype("datetime64[us]")
    last = values.astype("datetime64[D]") == (months + 1).astype("datetime64[D]") - 1
    long = len(micro) and micro.min() >= 28 * _UNITS["day"]
    if known == "months" or (known is None and long and ((offset == offset[0]).all() or last.all())):
        return apart, "months"
    if known == "weekdays" or (known is None and _only_weekdays(values, micro)):
        days = values.astype("datetime64[D]")
        return np.busday_count(days[:-1], days[1:]), "weekdays"
    return micro, "microseconds"


def _only_weekdays(values: np.ndarray, apart: np.ndarray) -> bool:
    """Whether times are days of work: a day apart, of one time of day, over weekends without a row on one."""
    days = values.astype("datetime64[D]")
    if not len(apart) or apart.min() != _UNITS["day"] or days[-1] - days[0] < np.timedelta64(7, "D"):
        return False
    return bool(np.is_busday(days).all() and (values - days == values[0] - days[0]).all())


def step_of(values: np.ndarray, known: Step | None = None) -> tuple[Step, np.ndarray]:
    """The step between rows whose times rise.

    Args:
      values: ``[T]``, of :class:`Times`.
      known: the step, where it is known; else the most frequent one is it, the shortest of those.

    Returns:
      The step, and ``[T - 1]``, how many steps lie between a row and the next: 1 where none is missing, and no whole
      number where rows are no steps apart.
    """
    apart, unit = differences(values, known and known.unit)
    if not len(apart):
        return known or Step(1, unit), np.ones(0)
    if known is None:
        there, counts = np.unique(_rounded(apart, apart.min()) if unit == "numbers" else apart, return_counts=True)
        known = Step(there[counts.argmax()].item(), unit)
    steps = apart / known.count
    near = np.round(steps)
    return known, np.where(np.abs(steps - near) < 1e-6, near, steps)


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    """Numbers without what rounding makes of 0.1, 0.2, 0.3; as they are where steps are too small for that."""
    return np.round(values, 9) if step > 1e-6 else values


def continued(last: Any, step: Step, count: int, among: np.ndarray | None = None) -> np.ndarray:
    """The times ``[count]`` of the rows after one of time ``last``.

    Args:
      last: the time.
      step: between rows.
      count: how many.
      among: the times of all rows, which tell whether a month's end was meant or only its day; None: ``last`` does.
    """
    ahead = np.arange(1, count + 1)
    if step.unit == "numbers":
        return _rounded(float(last) + step.count * ahead, step.count)
    last = np.datetime64(last, "us")
    if step.unit == "microseconds":
        return last + (ahead * int(step.count)).astype("timedelta64[us]")
    if step.unit == "weekdays":
        days = np.busday_offset(last.astype("datetime64[D]"), ahead * int(step.count), roll="backward")
        return days.astype("datetime64[us]") + (last - last.astype("datetime64[D]"))
    moment, made = last.item(), []
    wanted = _day_of(moment, np.array([last]) if among is None else among)
    for months in (ahead * int(step.count)).tolist():
        year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
        longest = calendar.monthrange(year, month + 1)[1]
        made.append(moment.replace(year=year, month=month + 1, day=min(wanted, longest)))
    return np.array(made, "datetime64[us]")


def _day_of(last: datetime.datetime, among: np.ndarray) -> int:
    """The day of the month that follows where a month has it: 31 where every row is the last of its month.

    Else it is that of ``last``, or where a month's end may have cut that short, as February does, the latest of all.
    """
    days = among.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if (days == (months + 1).astype("datetime64[D]") - 1).all():
        return 31
    at_end = last.day == calendar.monthrange(last.year, last.month)[1]
    return int((days - months.astype("datetime64[D]")).astype(int).max()) + 1 if at_end else last.day


def _counted(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"

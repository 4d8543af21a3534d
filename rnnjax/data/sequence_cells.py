"""Cells of tables as numbers and labels; what is none is refused with its place."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnjax.errors import DataError

MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "?"))
"""What stands for a value that is not there, in lower case."""


def number(value: Any) -> float | None:
    """A cell as a number, NaN where its value is missing; None where it is text, or infinite.

    A number is written with a point, without signs between thousands.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in MISSING:
            return math.nan
        if "_" in text:  # which Python's float takes
            return None
        value = text
    try:
        made = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isinf(made) else made


def numbers(values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64 ``[N]``, NaN where a value is missing, and the rows whose cells are no numbers."""
    made = [number(value) for value in values]
    wrong = np.array([row for row, value in enumerate(made) if value is None], np.int64)
    return np.array([math.nan if value is None else value for value in made], np.float64), wrong


def refused(place: str, column: str, value: Any) -> DataError:
    """What is said of a cell that should be a number."""
    text = str(value).strip()
    hint = "leave the column out with --data.value-columns, or leave the cell empty where nothing was measured"
    if isinstance(value, float) or text.lower().lstrip("+-") in ("inf", "infinity"):
        return DataError(f"{place}: {column!r} is infinite; leave the cell empty where nothing was measured")
    hint = with_commas(text) or hint
    return DataError(f"{place}: {column!r} must be a number, got {text[:40]!r}; {hint}")


def with_commas(text: str) -> str:
    """What to do about a number that is written with commas; empty for anything else.

    Of 1,234 a comma may part thousands or decimals: whoever wrote it knows.
    """
    if re.fullmatch(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", text):
        return "write no signs between thousands, 1234, and decimals with a point, 1.5"
    if re.fullmatch(r"[-+]?(\d+|\d{1,3}([. ]\d{3})*)(,\d*)?([eE][-+]?\d+)?", text) and "," in text:
        return "write numbers with a point, 1.5, and no signs between thousands"
    return ""


def rounded(value: Any) -> bool:
    """Whether a whole number, as it is or as it is written, has more digits than a float of 64 bits keeps."""
    whole = isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdecimal())
    made = number(value) if whole else None
    return made is not None and int(made) != int(value)


def label(value: Any) -> str | None:
    """A cell as a label's text; None where there is none. A list is written with ``|`` between its parts."""
    if isinstance(value, list | tuple):
        return "|".join(filter(None, map(label, value)))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = unicodedata.normalize("NFC", str(value).strip())
    return " ".join(text.split()) or None

"""The worst answers of a split as a table to look at."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rnnjax.data import Dataset

MOST = 100
"""Rows of the file, at most."""

_START = 200
"""Characters of a text that are shown."""


def as_csv(mistakes: Sequence[Mapping[str, Any]], dataset: Dataset, split: str) -> str:
    """The mistakes that a task names, with where each example lies and how its text begins, where that is known."""
    places = dataset.places()[split] if dataset.places is not None else None
    texts = dataset.documents()[split] if dataset.documents is not None else None
    out = io.StringIO()
    names = [*(["place"] if places is not None else ["number"]), *(name for name in mistakes[0] if name != "row")]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, *(["text"] if texts is not None else [])])
    for mistake in mistakes:
        row = int(mistake["row"])
        where = places[row] if places is not None else row
        values = [_short(value) for name, value in mistake.items() if name != "row"]
        writer.writerow([where, *values, *([_start(texts[row : row + 1])] if texts is not None else [])])
    return out.getvalue().encode("utf-8", "replace").decode("utf-8")


def _start(texts: Sequence[str]) -> str:
    """How the first begins; empty of none, as examples that are beside the documents have none."""
    return " ".join(texts[0][: 4 * _START].split())[:_START] if texts else ""


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value

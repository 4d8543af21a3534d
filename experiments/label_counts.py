"""Accuracy by how many labels there were to learn from, with and without pretraining: what a plot and a table show."""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from experiments import trials

READERS = {
    "imdb_pretrained-regions-tuned": "pretrained reader",
    "imdb_pretrained-scratch": "the same from fresh parameters",
}
"""Experiments by what they are called; with ``--data.train-documents N`` they learn from fewer labels."""

BAR = "n-grams"
_ALLOWED = ("data.train_documents", "train.epochs")
"""Settings that may be others than the experiment's: few labels are read more often."""


class Point(NamedTuple):
    """What was measured with so many labels.

    Attributes:
      name: of the method.
      labels: documents with a label in training.
      accuracy: on test, the mean over seeds.
      seeds: how many.
    """

    name: str
    labels: int
    accuracy: float
    seeds: int


def points(measured: Mapping[str, list[trials.Result]], tried: Mapping[str, list[trials.Result]]) -> list[Point]:
    """All that was tested, by method and number of labels; the bar is that of the runs themselves."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for experiment, name in READERS.items():
        for result in (*measured.get(experiment, []), *tried.get(experiment, [])):
            others = [line for line in trials.differences(result) if line.partition(":")[0] not in _ALLOWED]
            if others or result["metrics"]["test"] is None:
                continue
            labels = result["data"]["train"]
            found[name, labels].append(result["metrics"]["test"]["accuracy"])
            if experiment == next(iter(READERS)):
                rows = result.get("bars", {}).get("rows", [])
                found[BAR, labels] += [row["value"] for row in rows if row["name"] == BAR and not row["note"]]
    order = [BAR, *reversed(READERS.values())]
    made = [Point(*key, statistics.fmean(values), len(values)) for key, values in found.items() if values]
    return sorted(made, key=lambda point: (order.index(point.name), point.labels))


def table(found: list[Point]) -> str:
    """In Markdown: a row a number of labels, a column a method."""
    names = list(dict.fromkeys(point.name for point in found))
    by = {(point.name, point.labels): point for point in found}
    lines = [f"| labels | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    lines += [
        f"| {labels:,} | {' | '.join(_cell(by.get((name, labels))) for name in names)} |"
        for labels in sorted({point.labels for point in found})
    ]
    return "\n".join(lines) if found else "Not yet measured."


def _cell(point: Point | None) -> str:
    return "" if point is None else f"{point.accuracy:.2%}" + f" ({point.seeds} seeds)" * (point.seeds > 1)

"""Several seeds of one experiment: which of their epochs are shown, and the table at the end."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rnnjax.experiment import Experiment
from rnnjax.runs.display import duration

_FIRST, _LATER = 10, 5
"""Lines of epochs: with those of three seeds, their table and what stands around it, a screen is full."""


def parts(seeds: int, place: int) -> int:
    """Into how many parts, with a line each, the training is divided of one of so many seeds; 0: every epoch is shown.

    Args:
      seeds: how many are trained one after the other.
      place: of this one among them, from 0.
    """
    if seeds == 1:
        return 0
    return _LATER if place else _FIRST


def table(experiment: Experiment, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row for each seed with its best epoch, then the mean and the standard error of the mean.

    Args:
      experiment: whose metrics are shown.
      results: of its seeds, as in ``result.json``.
    """
    headline = experiment.task.headline
    shown = tuple(dict.fromkeys((headline, *experiment.task.also)))
    splits = [split for split in ("validation", "test") if all(result["metrics"][split] for result in results)]
    columns = [(split, metric) for split in splits for metric in shown if split == "test" or metric == headline]
    values = [[result["metrics"][split].get(metric.name, math.nan) for result in results] for split, metric in columns]
    rows = [["seed", "best epoch", *(f"{split} {metric.name}".replace("_", " ") for split, metric in columns), "time"]]
    for place, result in enumerate(results):
        figures = [metric.show(of[place]) for (_, metric), of in zip(columns, values, strict=True)]
        epochs = f"{result['best_epoch']} of {result['epochs']}"
        rows.append([str(result["seed"]), epochs, *figures, duration(result["seconds"]["wall"])])
    for name, of in (("mean", statistics.fmean), ("± standard error", _standard_error)):
        figures = [metric.show(of(found)) for (_, metric), found in zip(columns, values, strict=True)]
        seconds = [duration(of([result["seconds"]["wall"] for result in results]))] if name == "mean" else [""]
        rows.append([name, "", *figures, *seconds])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, all columns but the first to the right."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, wide[1:], strict=True)]
        lines.append("  ".join([first.ljust(wide[0]), *cells]).rstrip())
    return lines


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))

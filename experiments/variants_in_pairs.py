"""The paired tests between an experiment and its plain bar on the same test examples, of their committed results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import fields, pairs, tables
from experiments.blend import difference
from rnnjax.runs import right


def table(results: Mapping[str, tables.Results]) -> str:
    """In Markdown: a row for each result of :data:`experiments.fields.FIELDS` that stands beside another experiment's,
    where both say which examples of the same test split they have right; several seeds count by their mean.
    """
    lines = [
        "| experiment | beside | seeds | difference, points | 95 % (paired bootstrap) | p |",
        "|---|---|---|---|---|---|",
    ]
    for name, bar in [(name, beside.bar) for rows in fields.FIELDS.values() for name, beside in rows.items()]:
        both = _pairs(results.get(name, []), results.get(bar, [])) if bar else []
        if both:
            lines.append(_row(name, bar, both))
    return "\n".join(lines) if len(lines) > 2 else "Not yet measured."


def _pairs(ours: tables.Results, theirs: tables.Results) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The results of the same seed and the same test examples."""
    other = {result["seed"]: result for result in theirs}
    both = [(one, other[one["seed"]]) for one in ours if one["seed"] in other]
    return [(one, also) for one, also in both if _examples(one) is not None and _examples(one) == _examples(also)]


def _examples(result: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What tells the examples apart from others; None where it is not known which were right."""
    kept = result.get("right")
    return (kept["split"], kept["data"], kept["examples"]) if kept and kept["data"] else None


def _row(name: str, bar: str, both: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    ours, theirs = (_shares([pair[side] for pair in both]) for side in (0, 1))
    points, interval, p = pairs.figures(difference(name, ours, bar, theirs))
    test = "McNemar" if len(both) == 1 else "paired bootstrap"
    seeds = " ".join(str(one["seed"]) for one, _ in both)
    return f"| `{name}` | `{bar}` | {seeds} | {points} | {interval} | {p} ({test}) |"


def _shares(results: list[dict[str, Any]]) -> np.ndarray:
    """Which examples are right ``[N]``: of one run booleans, of several the share of them that has each right."""
    hits = np.stack([right.unpacked(result["right"]) for result in results])
    return hits[0] if len(hits) == 1 else hits.mean(0)

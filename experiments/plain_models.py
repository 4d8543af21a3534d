"""Each result beside all plain models that its runs trained on the same examples: wins and losses, in one table."""

import re
import statistics
from collections.abc import Mapping
from typing import Any

from experiments import every, tables
from rnnjax.experiment import Listed

OURS = "network"
_SAMPLE = re.compile(r"(trained on|of) [\d,]+ of [\d,]+ (examples|training windows)")
_CHANCE = 0.05
"""A difference in a seed counts where a paired test's p is below this."""


def table(results: Mapping[str, tables.Results]) -> str:
    """A row an experiment whose runs trained plain models, in Markdown; means over its seeds."""
    lines = ["| experiment | metric | plain models | network | seeds ahead | behind | neither |"]
    lines.append("|---|---|---|---|---|---|---|")
    for experiment in every():
        found = [result for result in results.get(experiment.name, []) if _rows(result)]
        if found:
            lines.append(_row(experiment, found))
    return "\n".join(lines)


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The models of a result, of those that are compared on the test split."""
    bars = result.get("bars") or {}
    return bars["rows"] if bars.get("split") == "test" else []


def _row(experiment: Listed, found: tables.Results) -> str:
    names = dict.fromkeys(row["name"] for result in found for row in _rows(result))
    plain = [_model(experiment, name, found) for name in names if name != OURS]
    sides = [_side(experiment, result["bars"]) for result in found]
    counts = [str(sides.count(side)) for side in ("ahead", "behind", "neither")]
    metric = experiment.task.headline.name + ("; mae in brackets" if _also(experiment) else "")
    shown = [f"`{experiment.name}`", metric, ", ".join(plain), _figures(experiment, OURS, found), *counts]
    return f"| {' | '.join(shown)} |"


def _model(experiment: Listed, name: str, found: tables.Results) -> str:
    samples = [sample(row) for result in found for row in _rows(result) if row["name"] == name]
    partly = [said for said in samples if said]
    some = f"in {len(partly)} of {len(samples)} seeds " if len(partly) < len(samples) else ""
    return f"{name} {_figures(experiment, name, found)}" + (f" ({some}{partly[0]})" if partly else "")


def sample(row: Mapping[str, Any]) -> str:
    """What the note of a plain model says of the part of the examples that it was trained on; empty: all were."""
    return next((said for said in row["note"].split("; ") if _SAMPLE.match(said)), "")


def _figures(experiment: Listed, name: str, found: tables.Results) -> str:
    """A model's headline, and of a forecast its absolute error in brackets: means over the seeds that have it."""
    of_model = [row["metrics"] for result in found for row in _rows(result) if row["name"] == name]
    headline, also = experiment.task.headline, _also(experiment)
    shown = headline.show(statistics.fmean(metrics[headline.name] for metrics in of_model))
    return shown + (f" ({statistics.fmean(metrics[also] for metrics in of_model):.3f})" if also else "")


def _also(experiment: Listed) -> str:
    """The second metric that a forecast is published by."""
    return "mae" if experiment.task.headline.name == "mse" else ""


def _side(experiment: Listed, bars: Mapping[str, Any]) -> str:
    """Where the network stands beside the best plain model in a seed: ahead, behind, or neither beyond chance."""
    if bars["beats"]:
        return "ahead"
    value = {row["name"]: row["value"] for row in bars["rows"]}
    better = experiment.task.headline.score(value[bars["against"]]) > experiment.task.headline.score(value[OURS])
    return "behind" if better and bars["p"] < _CHANCE else "neither"

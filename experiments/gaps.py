"""How much more a validation split promises than the test split keeps, by how it was cut: a table of pairs of runs."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import experiments
from experiments import trials
from experiments.blend import Blended
from experiments.word_counts import BagOfWords, WordCounts
from rnnjax.config import identity
from rnnjax.config.run import from_json
from rnnjax.experiment import Experiment

FIELD = "validation_by"


class Cut(NamedTuple):
    """A run's settings but for how validation was cut, as text that is the same for the same, and that."""

    settings: str
    by: str


def cut(result: trials.Result) -> Cut | None:
    """Of a result; None of data that are cut in one way only. An older result was cut as the default says."""
    experiment = experiments.load(result["experiment"])
    if isinstance(experiment, Blended):
        return None
    if isinstance(experiment, WordCounts):
        settings = BagOfWords.from_json(result["config"]).to_json()
        by = settings.pop(FIELD)
    else:
        assert isinstance(experiment, Experiment), "all others are of a network"
        settings = identity(from_json(result["config"], experiment.kinds))
        by = settings["data"].pop(FIELD, None)
    return by and Cut(json.dumps([result["experiment"], settings], sort_keys=True), by)


def table(measured: Mapping[str, list[trials.Result]], tried: Mapping[str, list[trials.Result]]) -> str:
    """The tested runs whose settings were validated in two ways, in Markdown: a row a way, the mean over its seeds."""
    found: dict[str, dict[str, list[trials.Result]]] = defaultdict(lambda: defaultdict(list))
    for results in (*measured.values(), *tried.values()):
        for result in results:
            if result["metrics"]["test"] is not None and (of := cut(result)):
                found[of.settings][of.by].append(result)
    lines = ["| experiment | settings other than its own | held out by | validation | test | gap | seeds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for ways in found.values():
        if len(ways) > 1:
            lines += [_row(by, ways[by]) for by in sorted(ways, reverse=True)]
    return "\n".join(lines)


def _row(by: str, results: list[trials.Result]) -> str:
    first = results[0]
    metric = experiments.load(first["experiment"]).task.headline

    def mean(split: str) -> float:
        return statistics.fmean(result["metrics"][split][metric.name] for result in results)

    validation, test = mean("validation"), mean("test")
    gap: Any = validation - test
    shown = f"{100 * gap:+.2f}" if metric.shown.endswith("%}") else f"{gap:+.4f}"
    settings = "; ".join(line for line in trials.differences(first) if FIELD not in line) or "none"
    facts = (by, metric.show(validation), metric.show(test), shown, str(len(results)))
    return f"| `{first['experiment']}` | {settings} | {' | '.join(facts)} |"

"""The tables of results in Markdown, made from the committed result files."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from experiments import every, trials
from rnnjax.experiment import Listed
from rnnjax.runs.display import duration

RESULTS = Path(__file__).resolve().parent / "results"
NOT_YET = "not yet measured"
LANGUAGE = RESULTS / "language"
"""What ``python -m experiments.language_extras`` writes, a file a run."""

Results = list[dict[str, Any]]


def read_results(folder: Path = RESULTS) -> dict[str, Results]:
    """The committed results by experiment, in the order of their seeds."""
    found: dict[str, Results] = defaultdict(list)
    for path in sorted(folder.glob("*-seed-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["experiment"]].append(result)
    return {name: sorted(results, key=lambda r: r["seed"]) for name, results in found.items()}


def measured(experiment: Listed, results: Results) -> str:
    """Mean of the headline metric on test with its spread over seeds or folds, and whether the target was reached."""
    if not results:
        return NOT_YET
    headline, values = experiment.task.headline, _values(experiment, results)
    middle = statistics.fmean(values)
    spread = f" ± {headline.show(statistics.stdev(values))}" if len(values) > 1 else ""
    missed = " (missed)" if experiment.reached(middle) is False else ""
    return f"{headline.show(middle)}{spread}{missed}"


def standing(experiment: Listed, results: dict[str, Results]) -> tuple[str, Results]:
    """What was measured of an experiment, and in which results.

    Of several folds it is the mean over all that there are. Without any of its own it is that of the best of its
    variants with the same target, which is named.
    """
    if experiment.folds:
        return _of_folds(experiment, results)
    if found := results.get(experiment.name, []):
        return measured(experiment, found), found
    variants = {name: results.get(f"{experiment.name}-{name}", []) for name in experiment.variants}
    alike = {
        name: found
        for name, found in variants.items()
        if found and experiment.variant(name).target == experiment.target
    }
    if not alike:
        return measured(experiment, []), []
    best = max(alike, key=lambda name: experiment.task.headline.score(mean(experiment, alike[name])))
    return f"{measured(experiment, alike[best])} (variant {best})", alike[best]


def _of_folds(experiment: Listed, results: dict[str, Results]) -> tuple[str, Results]:
    names = [experiment.name, *(f"{experiment.name}-{fold}" for fold in experiment.folds)]
    there = [name for name in names if results.get(name)]
    found = [result for name in there for result in results[name]]
    said = f"{len(names)} folds" if len(there) == len(names) else f"{len(there)} of {len(names)} folds"
    return measured(experiment, found) + (f" (mean of {said})" if found else ""), found


def mean(experiment: Listed, results: Results) -> float:
    """The mean of the headline metric on test; of folds, each counts once, however many seeds it has."""
    return statistics.fmean(_values(experiment, results))


def _values(experiment: Listed, results: Results) -> list[float]:
    """The headline metric on test of each result; where they are of several folds, the mean of each."""
    name = experiment.task.headline.name
    return by_fold(results, [result["metrics"]["test"][name] for result in results])


def by_fold(results: Results, values: list[float]) -> list[float]:
    """One value a result, or where the results are of several folds, the mean of each fold over its seeds."""
    folds: dict[str, list[float]] = defaultdict(list)
    for result, value in zip(results, values, strict=True):
        folds[result.get("experiment", "")].append(value)
    return values if len(folds) < 2 else [statistics.fmean(each) for each in folds.values()]


def seeds(results: Results) -> int:
    """How many seeds there are results of; all folds have the same."""
    return len({result["seed"] for result in results})


def fastest(results: Results) -> dict[str, Any]:
    """The result of the seed that took least: other work on the machine makes a seed slower, nothing faster."""
    return min(results, key=lambda result: result["seconds"]["wall"])


def beside(experiment: Listed, results: Results, folder: Path = LANGUAGE) -> str:
    """The means of the task's other metrics on test, and of the headline under dynamic evaluation where it is known."""
    shown = []
    for metric in experiment.task.also if results else ():
        value = statistics.fmean(result["metrics"]["test"][metric.name] for result in results)
        shown.append(f"{metric.name} {metric.show(value)}")
    if adapted := [value for result in results if (value := _adapted(experiment, result, folder)) is not None]:
        headline = experiment.task.headline
        seeds = "" if len(adapted) == len(results) else f" of {len(adapted)} seed{'s' * (len(adapted) > 1)}"
        shown.append(f"{headline.name} {headline.show(statistics.fmean(adapted))} by dynamic evaluation{seeds}")
    return "".join(f"; {one}" for one in shown)


def _adapted(experiment: Listed, result: dict[str, Any], folder: Path) -> float | None:
    """The headline metric of a run under dynamic evaluation; None where it is not known, or of another run."""
    path = folder / f"{result['experiment']}-seed-{result['seed']}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["test"]["dynamic"][experiment.task.headline.name] if found["run"] == result.get("run") else None


def full(results: dict[str, Results]) -> str:
    """The results with all that belongs to them, for the page beside the experiments."""
    columns = ["experiment", "what", "target", "measured", "seeds", "data", "device", "fastest seed (compiling)",
               "parameters", "commit"]  # fmt: skip
    rows = []
    for row in _rows(results, ""):
        found = results.get(row.experiment.name, [])  # a variant's stand in its own row
        rows.append([*row.cells, f"{row.measured}{beside(row.experiment, found)}", *_facts(found)])
    return _table(columns, rows)


def short(results: dict[str, Results]) -> str:
    """The results alone, for the first page: of each data set the best experiment, by each metric that it is judged by.

    Variants are on the other page, models that are nothing but the beginning of others, and what was tested on so few
    examples that one result says little.
    """
    columns = ["experiment", "what", "target", "measured", "seeds"]
    best: dict[tuple[str, str], _Row] = {}
    for row in _rows(results, "experiments/"):
        if not row.results or "-" in row.experiment.name or row.experiment.task.begins_others or _few(row):
            continue
        key = (row.results[0]["data"]["name"].partition("/")[0], row.experiment.task.headline.name)
        if key not in best or _score(row) > _score(best[key]):
            best[key] = row
    rows = []
    for row in best.values():
        copies = sorted({copy for result in row.results if (copy := trials.copy(result))})
        rows.append([*row.cells, " on ".join([row.measured, *copies]), str(seeds(row.results))])
    return _table(columns, rows)


def _few(row: "_Row") -> bool:
    """Whether a test example more or less shows in the figure; one with an answer a step has many."""
    return row.results[0]["data"]["test"] < 300 and not row.experiment.task.per_step


def _score(row: "_Row") -> float:
    return row.experiment.task.headline.score(mean(row.experiment, row.results))


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


class _Row(NamedTuple):
    """What both tables begin with, and what it was made of."""

    experiment: Listed
    cells: list[str]
    measured: str
    results: Results


def _rows(results: dict[str, Results], folder: str) -> list[_Row]:
    """A row an experiment with a target; ``folder`` leads to the experiments' modules."""
    rows = []
    for experiment in every():
        if experiment.target is None:
            continue  # for a user's own data: there is nothing to measure here
        link = f"[`{experiment.name}`]({folder}{experiment.name.partition('-')[0]}.py)"
        target = experiment.target.shown(experiment.task)
        rows.append(_Row(experiment, [link, experiment.summary, target], *standing(experiment, results)))
    return rows


def _facts(results: Results) -> list[str]:
    if not results:
        return [""] * 6
    first = results[0]
    seconds = fastest(results)["seconds"]
    return [
        str(len(results)),
        trials.data(first),
        trials.device(first),
        f"{duration(seconds['wall'])} ({duration(seconds['compile'])})",
        f"{first['parameters']:,}",
        ", ".join(sorted({(result["commit"] or "unknown")[:8] for result in results})),
    ]

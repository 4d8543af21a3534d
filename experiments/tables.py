"""The tables of results in Markdown, made from the committed result files."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from experiments import every, load, trials
from rnnjax.experiment import Listed
from rnnjax.runs.display import duration

RESULTS = Path(__file__).resolve().parent / "results"
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
    """Mean of the headline metric on test with its spread over seeds, and whether the target was reached."""
    if not results:
        return "not yet measured"
    headline = experiment.task.headline
    values = [result["metrics"]["test"][headline.name] for result in results]
    mean = statistics.fmean(values)
    spread = f" ± {headline.show(statistics.stdev(values))}" if len(values) > 1 else ""
    missed = " (missed)" if experiment.reached(mean) is False else ""
    return f"{headline.show(mean)}{spread}{missed}"


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
    experiments = {experiment.name: experiment for experiment in every()}
    rows = []
    for (*row, value), found in _rows(results, ""):
        more = beside(experiments[found[0]["experiment"]], found) if found else ""
        rows.append([*row, f"{value}{more}", *_facts(found)])
    return _table(columns, rows)


def short(results: dict[str, Results]) -> str:
    """The results alone, for the first page; variants with their experiment's target are on the other page."""
    columns = ["experiment", "what", "target", "measured", "seeds"]
    shown = {experiment.name for experiment in every() if _has_own_target(experiment)}
    rows = []
    for (*row, value), found in _rows(results, "experiments/"):
        if not found or found[0]["experiment"] not in shown:
            continue
        copies = sorted({copy for result in found if (copy := trials.copy(result))})
        rows.append([*row, " on ".join([value, *copies]), str(len(found))])
    return _table(columns, rows)


def _has_own_target(experiment: Listed) -> bool:
    """Whether it is no variant, or one that aims at something else than the experiment itself."""
    module, _, variant = experiment.name.partition("-")
    return not variant or experiment.target != load(module).target


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _rows(results: dict[str, Results], folder: str) -> list[tuple[list[str], Results]]:
    """What both tables begin with, and the experiment's results; ``folder`` leads to the experiments' modules."""
    rows = []
    for experiment in every():
        if experiment.target is None:
            continue  # for a user's own data: there is nothing to measure here
        found = results.get(experiment.name, [])
        link = f"[`{experiment.name}`]({folder}{experiment.name.partition('-')[0]}.py)"
        target = experiment.target.shown(experiment.task)
        rows.append(([link, experiment.summary, target, measured(experiment, found)], found))
    return rows


def _facts(results: Results) -> list[str]:
    if not results:
        return [""] * 6
    first = results[0]
    # Other work on the machine makes a seed slower, nothing makes it faster.
    fastest = min((result["seconds"] for result in results), key=lambda seconds: seconds["wall"])
    return [
        str(len(results)),
        trials.data(first),
        trials.device(first),
        f"{duration(fastest['wall'])} ({duration(fastest['compile'])})",
        f"{first['parameters']:,}",
        ", ".join(sorted({(result["commit"] or "unknown")[:8] for result in results})),
    ]

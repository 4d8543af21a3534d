"""Makes the README's tables and performance section from committed result files: ``python -m experiments.report``."""

import json
import shutil
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import every, load, trials
from experiments.benchmarks import readme as performance
from rnnjax.errors import UsageError
from rnnjax.experiment import Listed
from rnnjax.runs.log import duration

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: made by python -m experiments.report -->", "<!-- end of results -->"

TRIALS = RESULTS / "trials"
TRIED, END_TRIED = "<!-- trials: made by python -m experiments.report -->", "<!-- end of trials -->"

Results = list[dict[str, Any]]


def read_results(folder: Path = RESULTS) -> dict[str, Results]:
    """The committed results by experiment, in the order of their seeds."""
    found: dict[str, Results] = defaultdict(list)
    for path in sorted(folder.glob("*-seed-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[result["experiment"]].append(result)
    return {name: sorted(results, key=lambda r: r["seed"]) for name, results in found.items()}


def measured(experiment: Listed, results: Results) -> str:
    """Mean test accuracy with its spread over seeds, and whether the target was reached."""
    if not results:
        return "not yet measured"
    accuracies = [result["metrics"]["test"]["accuracy"] for result in results]
    mean = statistics.fmean(accuracies)
    spread = f" ± {statistics.stdev(accuracies):.2%}" if len(accuracies) > 1 else ""
    missed = " (missed)" if experiment.reached(mean) is False else ""
    return f"{mean:.2%}{spread}{missed}"


def table(results: dict[str, Results]) -> str:
    """The results table in Markdown."""
    lines = [
        "| experiment | what | target | measured | seeds | data | device | fastest seed (compiling) "
        "| parameters | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for experiment in every():
        if experiment.target is None:
            continue  # for a user's own data: there is nothing to measure here
        found = results.get(experiment.name, [])
        cells = [
            f"[`{experiment.name}`](experiments/{experiment.name.partition('-')[0]}.py)",
            experiment.summary,
            experiment.target.shown(),
            measured(experiment, found),
            *_facts(found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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


def with_table(text: str, results: dict[str, Results], tried: dict[str, Results]) -> str:
    """A README's text with the tables of results and of trials, between their marks, made anew."""
    text = _between(text, BEGIN, END, table(results))
    return _between(text, TRIED, END_TRIED, trials.table(tried, results))


def _between(text: str, begin: str, end: str, made: str) -> str:
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{made}\n{end}{after}"


def collect(workdirs: tuple[Path, ...]) -> None:
    """Copies the results of finished work folders to the committed ones, those of other settings to the trials.

    Raises:
      UsageError: at a run on a user's own data, which no table shows, before anything is copied.
    """
    for workdir in workdirs:
        name = json.loads((workdir / "result.json").read_text(encoding="utf-8"))["experiment"]
        if load(name).target is None:
            raise UsageError(f"{workdir} is a run of {name} on data of your own; the tables are of public data")
    for workdir in workdirs:
        result = json.loads((workdir / "result.json").read_text(encoding="utf-8"))
        target = RESULTS / f"{result['experiment']}-seed-{result['seed']}.json"
        if trials.is_trial(result):
            target = TRIALS / trials.file_name(result)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(workdir / "result.json", target)
        print(f"{workdir / 'result.json'} -> {target.relative_to(HERE.parent)}")


def main(workdirs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (), check: bool = False) -> int:
    """Make the README's results tables and its performance section from the result files.

    Args:
      workdirs: Finished work folders whose result.json is to be added first: to experiments/results, or to its folder
        trials where the settings are not the experiment's own or the test split was left alone.
      check: Change nothing; fail if they are not those that the result files make.
    """
    if check and workdirs:
        print("error: --check changes nothing, so it takes no work folders", file=sys.stderr)
        return 2
    missing = [workdir for workdir in workdirs if not (workdir / "result.json").is_file()]
    if missing:
        print(f"error: {missing[0]} holds no finished run (no result.json)", file=sys.stderr)
        return 1
    try:
        collect(workdirs)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    old = README.read_text(encoding="utf-8")
    new = performance.with_section(with_table(old, read_results(), trials.read(TRIALS)))
    if check:
        if old != new:
            print("error: README.md's results are not those of experiments/results; run python -m experiments.report")
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m experiments.report", config=(tyro.conf.FlagCreatePairsOff,)))

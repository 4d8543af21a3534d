"""Lists the experiments: ``python -m experiments``; with a name, all of one: ``python -m experiments mnist_rows``."""

import difflib
import sys
import textwrap
from collections.abc import Iterator

from experiments import NAMES, load, trials
from experiments.tables import NOT_YET, Results, fastest, read_results, standing
from rnnjax.experiment import Listed
from rnnjax.runs.display import duration

USAGE = "usage: python -m experiments [NAME]  (run one by python -m experiments.NAME)"


def main(arguments: list[str]) -> int:
    """Prints a line for each experiment, or all that is known of those that are named."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if wrong := [argument for argument in arguments if argument not in NAMES]:
        print(f"error: {_wrong(wrong[0])}", file=sys.stderr)
        return 2
    lines = _details(arguments) if arguments else _overview()
    print("\n".join(lines))
    return 0


def _overview() -> Iterator[str]:
    """Data of one's own first: it is what somebody with a fresh machine has."""
    results = read_results()
    every = [load(name) for name in NAMES]
    yield "On data of your own:"
    own = [experiment for experiment in every if experiment.target is None]
    yield from _aligned([[experiment.name, experiment.summary] for experiment in own])
    yield "With a target on test, and what was measured (its variants: python -m experiments NAME):"
    rows = [
        [experiment.name, experiment.target.shown(experiment.task), shown, experiment.summary]
        for experiment in every
        if experiment.target is not None and (shown := standing(experiment, results)[0]) != NOT_YET
    ]
    yield from _aligned(rows)
    left = {experiment.name for experiment in every} - {name for name, *_ in (*rows, *([one.name] for one in own))}
    if left:
        yield "Not yet measured:"
        listed = ", ".join(name for name in NAMES if name in left)
        yield from textwrap.wrap(listed, 100, initial_indent="  ", subsequent_indent="  ")
    yield "Run one by python -m experiments.NAME; its options are shown by python -m experiments.NAME train --help."


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()


def _details(names: list[str]) -> Iterator[str]:
    """Everything of some experiments, their variants behind each."""
    results = read_results()
    for name in names:
        experiment = load(name)
        for one in (experiment, *map(experiment.variant, experiment.variants)):
            yield from _everything(one, standing(one, results)[0], results.get(one.name, []))


def _everything(experiment: Listed, shown: str, results: Results) -> list[str]:
    return [
        experiment.command,
        f"  shows     {experiment.summary}",
        f"  target    {experiment.aim}",
        *([f"  measured  {shown}"] if experiment.target is not None else []),
        f"  cost      {_time(results) if results else experiment.cost}",
    ]


def _time(results: Results) -> str:
    """What a seed took, and where."""
    result = fastest(results)
    wall = result["seconds"]["wall"]
    which = f", the fastest of {len(results)} seeds" if len(results) > 1 else ""
    return f"{duration(wall)} {'h' if wall >= 3600 else 'min'} on {trials.device(result)}{which}"


def _wrong(argument: str) -> str:
    """What to say to an argument that names no experiment."""
    if near := difflib.get_close_matches(argument, NAMES, n=1):
        return f"there is no experiment {argument!r}; did you mean python -m experiments.{near[0]}?"
    return f"there is no {argument!r}; python -m experiments lists all, and python -m experiments.NAME runs one"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the list has gone; there is nobody to tell
        sys.exit(1)

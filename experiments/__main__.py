"""Lists the experiments: ``python -m experiments``."""

import difflib
import sys

from experiments import NAMES, every
from experiments.tables import measured, read_results


def main(arguments: list[str]) -> int:
    """Prints every experiment with its target, what was measured, and its cost."""
    if arguments and arguments[0] in ("-h", "--help"):
        print("usage: python -m experiments  (lists all experiments; run one by python -m experiments.NAME)")
        return 0
    if arguments:
        print(f"error: {_wrong(arguments[0])}", file=sys.stderr)
        return 2
    results = read_results()
    for experiment in every():
        print(
            f"{experiment.command}\n"
            f"  shows     {experiment.summary}\n"
            f"  target    {experiment.aim}\n"
            f"  measured  {measured(experiment, results.get(experiment.name, []))}\n"
            f"  cost      {experiment.cost}"
        )
    return 0


def _wrong(argument: str) -> str:
    """What to say to an argument, since the list takes none: which experiment was meant, if it is one's name."""
    if argument in NAMES:
        return f"an experiment is run by its module: python -m experiments.{argument}"
    if near := difflib.get_close_matches(argument, NAMES, n=1):
        return f"there is no experiment {argument!r}; did you mean python -m experiments.{near[0]}?"
    return f"there is no {argument!r}; python -m experiments lists all, and python -m experiments.NAME runs one"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the list has gone; there is nobody to tell
        sys.exit(1)

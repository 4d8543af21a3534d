"""Lists the experiments: ``python -m experiments``."""

import sys

from experiments import every
from experiments.tables import measured, read_results


def main(arguments: list[str]) -> int:
    """Prints every experiment with its target, what was measured, and its cost."""
    if arguments:
        wanted = "" if arguments[0] in ("-h", "--help") else f"error: no option {arguments[0]!r}; "
        print(f"{wanted}usage: python -m experiments  (lists all experiments; run one by python -m experiments.NAME)")
        return 2 if wanted else 0
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


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the list has gone; there is nobody to tell
        sys.exit(1)

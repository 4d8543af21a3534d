"""The command line of the benchmarks: ``python -m experiments.benchmarks PART``."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence

from rnnjax.errors import RnnjaxError

PARTS = {
    "layers": "experiments.benchmarks.layers",
    "ragged": "experiments.benchmarks.ragged",
    "memory": "experiments.benchmarks.memory",
    "compile": "experiments.benchmarks.compiling",
    "training": "experiments.benchmarks.training",
    "long": "experiments.benchmarks.long",
    "input": "experiments.benchmarks.input",
    "growth": "experiments.benchmarks.growth",
    "step": "experiments.benchmarks.step",
}
"""The module of each part; its ``main(arguments)`` returns the exit code."""


def main(arguments: Sequence[str]) -> int:
    """Runs one part; returns the exit code."""
    usage = f"usage: python -m experiments.benchmarks {{{','.join(PARTS)}}} [--help]"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
        for part, name in PARTS.items():
            print(f"  {part:10s}{_summary(name)}")
        return 0 if arguments else 2
    part, *rest = arguments
    if part not in PARTS:
        print(f"error: no part {part!r}; {usage}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(PARTS[part]).main(rest)
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _summary(name: str) -> str:
    """What a part says of itself: the first line of its module's docstring, read without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return "(not in this checkout)"
    with open(spec.origin, encoding="utf-8") as lines:
        return next(lines).strip().strip('"').partition(": ")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

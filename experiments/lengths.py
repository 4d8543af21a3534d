"""Accuracy by length of what tracks a state: on how much longer words than those that were seen it is right."""

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping

from experiments import trials

EXPERIMENT = "state_tracking"

Curves = dict[str, dict[str, list[tuple[int, float]]]]
"""By group and model, the accuracy over so many steps, shortest first."""


def curves(measured: Mapping[str, list[trials.Result]]) -> Curves:
    """What was measured on test, in the mean over seeds."""
    found: Curves = defaultdict(dict)
    for name, results in measured.items():
        if name.partition("-")[0] != EXPERIMENT or not results:
            continue
        group, _, model = name.removeprefix(EXPERIMENT).removeprefix("-").partition("-")
        steps = [_by_steps(result) for result in results]
        means = [(length, statistics.fmean(each[length] for each in steps)) for length in sorted(steps[0])]
        found[group or "parity"][model or "lstm"] = means
    return dict(found)


def _by_steps(result: trials.Result) -> dict[int, float]:
    """Accuracy by length, the whole one among them."""
    test = result["metrics"]["test"]
    named = ((re.fullmatch(r"accuracy_within_(\d+)", name), value) for name, value in test.items())
    whole = result["config"]["data"]["test_length"]
    return {int(found[1]): value for found, value in named if found} | {whole: test["accuracy"]}

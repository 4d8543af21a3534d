"""Power laws of a step's cost over one size, and a sentence of why one is not what the operations' count predicts."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.benchmarks.timings import quartiles

WITHIN = 2.0
"""Standard errors within which an exponent counts as the predicted one."""
SCATTERED = 0.25
"""A standard error above which nothing is said of the exponent."""


class Power(NamedTuple):
    """``y = scale * x ** exponent``.

    Attributes:
      exponent: by least squares on the logarithms.
      error: its standard error, of the residuals; None of two points, which leave none.
    """

    exponent: float
    error: float | None


def power(x: Sequence[float], y: Sequence[float]) -> Power | None:
    """The power law through points of positive numbers; None of fewer than two different ``x``."""
    if len(set(x)) < 2:
        return None
    logs = [(math.log(one), math.log(other)) for one, other in zip(x, y, strict=True)]
    middle = [sum(part) / len(logs) for part in zip(*logs, strict=True)]
    spread = sum((one - middle[0]) ** 2 for one, _ in logs)
    slope = sum((one - middle[0]) * (other - middle[1]) for one, other in logs) / spread
    left = sum((other - middle[1] - slope * (one - middle[0])) ** 2 for one, other in logs)
    return Power(slope, math.sqrt(left / (len(logs) - 2) / spread) if len(logs) > 2 else None)


def fixed_cost(operations: Sequence[float], seconds: Sequence[float]) -> float | None:
    """Seconds of a step that do not grow: ``a`` of ``a + b * operations``, by least squares of relative residuals.

    None where the operations do not differ.
    """
    weights = [1 / one**2 for one in seconds]
    total = sum(weights)
    x = sum(w * one for w, one in zip(weights, operations, strict=True)) / total
    y = sum(w * one for w, one in zip(weights, seconds, strict=True)) / total
    spread = sum(w * (one - x) ** 2 for w, one in zip(weights, operations, strict=True))
    if not spread:
        return None
    together = sum(w * (one - x) * (other - y) for w, one, other in zip(weights, operations, seconds, strict=True))
    return y - together / spread * x


def of_sweep(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of one sweep: the exponents over what was measured of it, and the sentence.

    Args:
      name: of the size that is varied.
      rows: of the steps, with ``sizes``, ``operations`` and ``samples``; one without samples is left out.
    """
    timed = sorted((row for row in rows if row["samples"]), key=lambda row: row["sizes"][name])
    values = [row["sizes"][name] for row in timed]
    seconds, operations = [quartiles(row["samples"])[1] for row in timed], [row["operations"] for row in timed]
    fitted, predicted = power(values, seconds), power(values, operations)
    made: dict[str, Any] = {"size": name, "values": values, "exponent": None, "error": None, "predicted": None}
    if fitted is None or predicted is None:
        return made | {"why": "too few of it were measured"}
    made |= {"exponent": fitted.exponent, "error": fitted.error, "predicted": predicted.exponent}
    return made | {"why": why(name, values, fitted, predicted, seconds, operations)}


def why(
    name: str,
    values: Sequence[int],
    fitted: Power,
    predicted: Power,
    seconds: Sequence[float],
    operations: Sequence[float],
) -> str:
    """How an exponent stands to the predicted one, and what the same numbers say of the reason."""
    rates = [number / taken for number, taken in zip(operations, seconds, strict=True)]
    rate = f"{rates[0] / 1e9:.3g} GFLOP/s at {name} = {values[0]}, {rates[-1] / 1e9:.3g} at {values[-1]}"
    away = fitted.exponent - predicted.exponent
    if fitted.error is None:
        return f"two values leave no standard error; {rate}"
    if abs(away) <= WITHIN * fitted.error:
        if fitted.error > SCATTERED:
            return f"not told from the predicted one: the times are too scattered; {rate}"
        return f"as predicted, within {WITHIN:g} standard errors; {rate}"
    if fitted.exponent <= 0:
        return f"below the predicted one: the time does not grow with {name}; {rate}"
    if away > 0:
        return f"above the predicted one: the rate falls; {rate}"
    cost = fixed_cost(operations, seconds)
    if cost is None or cost <= 0:
        return f"below the predicted one: the rate rises; {rate}"
    share = min(1.0, cost / seconds[0])
    fixed = f"{share:.0%} of the time at {name} = {values[0]} does not grow with the operations"
    return f"below the predicted one: {fixed}, by a straight line through the times; {rate}"

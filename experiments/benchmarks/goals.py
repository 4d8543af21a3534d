"""The goals of the layers, and what was measured of each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiments.benchmarks.timings import Timings, geometric_mean, quartiles

FUSED = "rnnjax fused"
OTHERS = ("flax", "nnx", "keras", "torch", "torch padded", "equinox")
SMALLEST_BATCH = 16
"""Means are taken over shapes of at least this batch; smaller ones are reported apart."""

Goal = dict[str, Any]
Ratio = Callable[[Sequence[int]], float | None]


def evaluate(rows: Iterable[dict[str, Any]]) -> list[Goal]:
    """Every goal with what was measured: dicts of ``what``, ``goal``, ``measured``, ``shapes`` and ``reached``.

    ``measured`` is a geometric mean of ratios of medians over the ``shapes`` (a count) with B >= 16 at
    which both sides were measured, or the largest of these ratios where ``what`` says so. ``goal`` and
    ``reached`` are None where nothing was asked, and ``measured`` and ``reached`` where nothing was measured.
    """
    timings = Timings(rows)

    def ratio(of: dict[str, Any], to: dict[str, Any], factor: float = 1.0) -> Ratio:
        def at(shape: Sequence[int]) -> float | None:
            value = timings.ratio({"shape": shape} | of, {"shape": shape} | to)
            return None if value is None else value * factor

        return at

    goals: list[Goal] = []
    for cell, devices, peer, goal in (
        ("lstm", 1, "flax", 0.88),
        ("lstm", 1, "keras", 0.85),
        ("lstm", 1, "torch", 1.0),
        ("lstm", 2, "torch", 0.70),
        ("lstm", 2, "flax", 0.85),
        ("gru", 1, "flax", 0.95),
        ("gru", 1, "torch", 0.80),
        ("gru", 2, "torch", 0.70),
    ):
        on = f"{devices} device{'s' * (devices > 1)}"
        theirs = _key(cell, peer, devices if peer == "flax" else 1)
        value = ratio(_key(cell, FUSED, devices), theirs)
        name = f"{cell.upper()}, {on}: time / {peer}'s" + (f" on {on}" if peer == "flax" and devices > 1 else "")
        goals.append(_goal(timings, name, goal, value))
        if (cell, devices, peer) == ("lstm", 1, "torch"):
            goals.append(_never_slower(timings))
        if (devices, peer) == (1, "torch"):
            what = f"{cell.upper()}, {on}: largest time / torch's of a shape"
            goals.append(_goal(timings, what, 1.15, value, of=max))
    for cell in ("lstm", "gru"):
        for form, factor, what in (
            ("masked", 1.0, "time / plain's"),
            ("bidirectional", 0.5, "time / (2 × plain's)"),
        ):
            ours = _key(cell, FUSED, 1, form)
            goals.append(
                _goal(timings, f"{cell.upper()} {form}: {what}", 1.1, ratio(ours, _key(cell, FUSED, 1), factor))
            )
            goals.append(_goal(timings, f"{cell.upper()} {form}: time / fastest peer's", 0.95, _fastest(timings, ours)))
    for cell in ("lstm", "gru"):
        for peer in ("flax", "torch"):
            value = ratio(_key(cell, FUSED, 1), _key(cell, peer, 1))
            goals.append(_goal(timings, f"{cell.upper()}, 1 device, B < 16: time / {peer}'s", None, value, small=True))
    return goals


def verdict(goal: Goal) -> str:
    """What became of a goal: reached, missed or not measured; nothing where nothing was asked."""
    if goal["measured"] is None:
        return "not measured"
    return "" if goal["reached"] is None else "reached" if goal["reached"] else "missed"


def upwards(goal: Goal) -> bool:
    """Whether more is better: of a speed over a peer's it is."""
    return "rnnjax / " in goal["what"]


def _key(cell: str, peer: str, devices: int, form: str = "plain") -> dict[str, Any]:
    return {"cell": cell, "form": form, "mode": "train", "peer": peer, "devices": devices}


def _goal(
    timings: Timings,
    what: str,
    goal: float | None,
    ratio: Ratio,
    small: bool = False,
    of: Callable[[list[float]], float | None] = geometric_mean,
) -> Goal:
    shapes = [shape for shape in timings.shapes() if (shape[0] < SMALLEST_BATCH) == small]
    values = [value for shape in shapes if (value := ratio(shape)) is not None]
    measured = of(values) if values else None
    reached = None if measured is None or goal is None else measured <= goal
    return {"what": what, "goal": goal, "measured": measured, "shapes": len(values), "reached": reached}


def _fastest(timings: Timings, ours: dict[str, Any]) -> Ratio:
    """The ratio to the peer that is fastest at that shape."""

    def at(shape: Sequence[int]) -> float | None:
        values = [timings.ratio({"shape": shape} | ours, {"shape": shape} | ours | {"peer": peer}) for peer in OTHERS]
        return max((value for value in values if value is not None), default=None)

    return at


def _never_slower(timings: Timings) -> Goal:
    """At how many shapes the quartiles of the LSTM lie wholly above Flax's."""
    slower = measured = 0
    for shape in timings.shapes():
        ours = timings.samples(**_key("lstm", FUSED, 1), shape=shape)
        theirs = timings.samples(**_key("lstm", "flax", 1), shape=shape)
        if ours and theirs and shape[0] >= SMALLEST_BATCH:
            measured += 1
            slower += quartiles(ours)[0] > quartiles(theirs)[2]
    return {
        "what": "LSTM, 1 device: shapes slower than flax beyond overlapping quartiles",
        "goal": 0,
        "measured": slower if measured else None,
        "shapes": measured,
        "reached": not slower if measured else None,
    }

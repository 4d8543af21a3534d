"""A row of the training benchmark's result, a peer at a task, as tables and pictures read it.

Rows of results that were measured when all tasks were classes have other names, and are read as such.
"""

from typing import Any

Row = dict[str, Any]

_ACCURACY = {"name": "accuracy", "best": "max", "shown": "{:.2%}"}
_NAMES = {
    "examples_per_second": "speed",
    "accuracy_goal": "goal",
    "accuracy": "quality",
    "seconds_to_accuracy": "seconds_to_goal",
    "examples_to_accuracy": "units_to_goal",
    "to_accuracy": "runs",
    "examples": "units",
}


def read(row: Row) -> Row:
    """A row by the names of today; one that tells of data that are not there is as it is."""
    if row.get("peer") is None or "metric" in row:
        return row
    return {"unit": "examples", "metric": _ACCURACY, **_renamed(row)}


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_NAMES.get(name, name): _renamed(part) for name, part in value.items()}
    return [_renamed(part) for part in value] if isinstance(value, list) else value


def quality(row: Row, value: float | None) -> str:
    """A quality as its metric is written; nothing where there is none."""
    return "" if value is None else row["metric"]["shown"].format(value)


def speed(row: Row) -> str:
    """The median of units a second with its quartiles, ``1,234 (1,200-1,300)``; nothing where it was not measured."""
    found = row.get("speed")
    return f"{found['median']:,.0f} ({found['q1']:,.0f}-{found['q3']:,.0f})" if found else ""


def seconds(row: Row) -> str:
    """The median of seconds to the goal, with the least and the most of several seeds; nothing where one missed it."""
    middle, every = row.get("seconds_to_goal"), sorted(run["seconds"] for run in row.get("runs", ()))
    if middle is None:
        return ""
    return f"{middle:.1f} ({every[0]:.1f}-{every[-1]:.1f})" if len(every) > 1 else f"{middle:.1f}"

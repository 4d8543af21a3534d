"""What the committed results of ``python -m experiments.accelerator`` say of implementations, for ``"auto"``.

:mod:`rnnjax.layers.measured` reads what is made here.
"""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from rnnjax import digests
from rnnjax.errors import DataError

RESULTS = Path(__file__).resolve().parent / "results" / "accelerator"
"""A folder a kind of device, with a file a part."""
TABLE = Path(__file__).resolve().parents[1] / "rnnjax" / "layers" / "measured.json"

APART = 0.05
"""Relative distance of a loss or a gradient from the scan's above which an implementation's times do not count."""

Times = dict[tuple[Any, ...], dict[str, float]]
"""By what was timed, the median seconds of each implementation."""


def table(folder: Path = RESULTS) -> dict[str, Any]:
    """The implementations of each cell on each platform, in the order of the geometric means of their times.

    Times are of forward and backward passes in float32 at the default precision, from parts that came to their end: one
    that was broken off lacks just those implementations that are slow or had no turn yet. An implementation that was
    not measured at all shapes on all devices of the platform has no place in the order.

    Raises:
      DataError: at a file that is damaged, or of a rehearsal (``--dry``).
    """
    found: dict[tuple[str, str], Times] = defaultdict(lambda: defaultdict(dict))
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(folder.glob("*/*.json")):
        result, name = _read(path), path.relative_to(folder).as_posix()
        for row in result.get("rows", []):
            if not (result.get("complete") and _counts(row)):
                continue
            key = result["device"]["platform"], row["cell"]
            timed = (path.parent.name, *row["shape"])
            found[key][timed][row["implementation"]] = statistics.median(row["samples"])
            sources[key].add(name)
    out: dict[str, Any] = {}
    for (platform, cell), times in sorted(found.items()):
        if order := _order(times):
            out.setdefault(platform, {})[cell] = {"order": order, "of": sorted(sources[platform, cell])}
    return out


def text(folder: Path = RESULTS) -> str:
    """What the file of the package is to hold."""
    made = table(folder)
    return (json.dumps(made, indent=1) if made else "{}") + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(result, dict) and digests.is_whole(result)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable result ({error}); take it away") from error
    if not whole:
        raise DataError(f"{path} is not as it was written; write it again by python -m experiments.accelerator")
    if result.get("dry"):
        raise DataError(f"{path} is of a rehearsal (--dry) and no result; take it away")
    return result


def _counts(row: dict[str, Any]) -> bool:
    """Whether a row is a time of an implementation of this package in float32 at the default precision, and right."""
    float32 = (row.get("dtype"), row.get("precision")) == ("float32", "default")
    whole = row.get("implementation") is not None and bool(row.get("samples")) and row.get("error") is None
    distances = [value for value in row.get("apart", {}).values() if isinstance(value, float)]
    return float32 and whole and all(value <= APART for value in distances)  # NaN is not


def _order(times: Times) -> list[str]:
    everywhere = set.intersection(*(set(by_name) for by_name in times.values()))
    means = {name: statistics.geometric_mean(by_name[name] for by_name in times.values()) for name in everywhere}
    return sorted(means, key=lambda name: (means[name], name))

"""What committed results say of implementations, for ``"auto"``: of ``python -m experiments.accelerator``, and of
``python -m experiments.benchmarks long`` by numbers of steps and batch sizes.

:mod:`rnnjax.layers.measured` reads what is made here.
"""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from experiments.benchmarks import record
from experiments.benchmarks.timings import quartiles
from rnnjax import digests
from rnnjax.errors import DataError

RESULTS = Path(__file__).resolve().parent / "results"
"""``accelerator`` has a folder a kind of device, with a file a part; in ``benchmarks`` is a file a part and kind."""
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

    Beside it are ``sizes``, the numbers of steps and batch sizes at which one implementation was ahead.

    Raises:
      DataError: at a file that is damaged, or of a rehearsal (``--dry``).
    """
    found: dict[tuple[str, str], Times] = defaultdict(lambda: defaultdict(dict))
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(folder.glob("accelerator/*/*.json")):
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
    for (platform, cell), (sizes, names) in sorted(_sizes(folder).items()):
        row = out.setdefault(platform, {}).setdefault(cell, {"of": []})
        row |= {"sizes": sizes, "of": sorted({*row["of"], *names})}
    return out


def text(folder: Path = RESULTS) -> str:
    """What the file of the package is to hold."""
    made = table(folder)
    return (json.dumps(made, indent=1) if made else "{}") + "\n"


def _sizes(folder: Path) -> dict[tuple[str, str], tuple[list[dict[str, Any]], set[str]]]:
    """By platform and cell, the measured sizes with what was ahead at all widths on all devices, and of which files.

    Ahead is one whose third quartile lies below the first quartiles of all others. What had no turn, for want of memory
    or because it computes something else, is not ahead. Results of another allocator than the default one do not count.
    """
    found: dict[tuple[Any, ...], list[dict[str, list[float]]]] = defaultdict(list)
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in sorted(folder.glob("benchmarks/long-*.json")):
        result = record.read(path)
        if result["partial"] or result["malloc"] != "default":
            continue
        by_width: dict[tuple[Any, ...], dict[str, list[float]]] = defaultdict(dict)
        for row in result["rows"]:
            B, T, _, H = row["shape"]
            samples = row["samples"] if row["error"] is None and row["ran"] == row["implementation"] else []
            by_width[result["device"]["platform"], row["cell"], T, B, H][row["implementation"]] = samples
        for (platform, cell, T, B, _), times in by_width.items():
            found[platform, cell, T, B].append(times)
            sources[platform, cell].add(path.relative_to(folder).as_posix())
    made = {key: ([], names) for key, names in sources.items()}
    for (platform, cell, T, B), widths in sorted(found.items()):
        names = {_ahead(times) for times in widths}
        made[platform, cell][0].append({"steps": T, "batch": B, "ahead": names.pop() if len(names) == 1 else None})
    return {key: of for key, of in made.items() if any(size["ahead"] for size in of[0])}


def _ahead(times: dict[str, list[float]]) -> str | None:
    """The implementation whose quartiles lie below all others', where there is one and no other lacks its samples."""
    if len(times) < 2 or not all(times.values()):
        return None
    spreads = {name: quartiles(samples) for name, samples in times.items()}
    first = min(spreads, key=lambda name: spreads[name][1])
    return first if all(spreads[first][2] < low for name, (low, _, _) in spreads.items() if name != first) else None


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

"""What a run's record says of the weights that it began from: in words, and beside another's."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

_COMPARED = ("weights", "tokens", "parts", "module")
"""Of a record, what makes a run another one: not where the weights lay, and not how they were chosen."""


def described(record: Mapping[str, Any] | None) -> str:
    """What a run began from, in words."""
    if record is None:
        return "fresh parameters"
    parts = f", parts {' '.join(record['parts'])}" if record["parts"] else ""
    into = f" for {record['module']}" if record.get("module") else ""
    one = f"weights {record['weights'][:12]} (step {record['step']} of {record['experiment']}{into}{parts})"
    return " and ".join([one, *map(described, record.get("also", ()))])


def difference(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> list[str]:
    """A line where two runs did not begin from the same."""
    kept = [
        None if record is None else [[one.get(name) for name in _COMPARED] for one in (record, *record.get("also", ()))]
        for record in (ours, theirs)
    ]
    return [] if kept[0] == kept[1] else [f"init_from: {described(ours)}, not {described(theirs)}"]


def shown(record: Mapping[str, Any], ours: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What a record says, in lines: what was taken by module, and what was not, and why.

    Args:
      record: of a run that began from another's weights.
      ours: the shapes of its variables by path.
    """
    averages = ", averages" if record["averaged"] else ""
    where = f"{record['checkpoint']} checkpoint of {record['experiment']}"
    into = f"{record['module']} begins" if record.get("module") else "beginning"
    lines = [f"{into} from the {where} (step {record['step']}{averages})"]
    for kind, word in (("taken", "taken"), ("fresh", "fresh"), ("foreign", "fresh, since tokens differ")):
        for module, paths in itertools.groupby(record[kind], _module):
            lines.append(f"  {word}: {module} ({_counted([ours[path] for path in paths])})")
    for path, (known, of) in record["rows"].items():
        others = "" if known == of else "; the others are fresh"
        lines.append(f"  taken by token: {_name(path)} ({known:,} of {of:,} rows{others})")
    for path, both in record["unfit"].items():
        lines.append(f"  fresh: {_name(path)}, {tuple(both['there'])} there and {tuple(both['here'])} here")
    if record["unused"]:
        modules = [module for module, _ in itertools.groupby(record["unused"], _module)]
        lines.append(f"  only there: {', '.join(modules)}")
    return lines


def _counted(arrays: Sequence[tuple[int, ...]]) -> str:
    numbers = sum(math.prod(shape) for shape in arrays)
    return f"{len(arrays)} array{'s' * (len(arrays) > 1)}, {numbers:,} numbers"


def _name(path: str) -> str:
    """A variable's path as patterns see it; that of a statistic with its collection before it."""
    return path.removeprefix("params/")


def _module(path: str) -> str:
    return _name(path).rpartition("/")[0] or _name(path)

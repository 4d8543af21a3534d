"""``metrics.jsonl``: a run's own log, a JSON object a validation, which a resumed run goes on with."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnjax import terminal


class MetricsFile:
    """The log of a run, a :class:`rnnjax.runs.loggers.Logger` whose values may be None where they are not known.

    Args:
      path: of the file.
    """

    def __init__(self, path: Path):
        self._path = path

    @property
    def written(self) -> int:
        """Its length in bytes."""
        return self._path.stat().st_size if self._path.is_file() else 0

    def begin(self, written: int) -> None:
        """Cuts off what is behind so many bytes, since it belongs to steps that are taken anew."""
        _truncate(self._path, written)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Adds a line."""
        rest = dict(values)
        row = {"epoch": rest.pop("epoch"), "step": step, **rest}
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Nothing is held open."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``; it is a log, so a damaged line is left out and noted."""
    if not path.is_file():
        return []
    rows, damaged = [], 0
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows += [row] if isinstance(row, dict) and "epoch" in row else []
            damaged += not (isinstance(row, dict) and "epoch" in row)
        except (ValueError, RecursionError):
            damaged += 1
    if damaged:
        terminal.note(f"{path}: {damaged} damaged line{'s' * (damaged > 1)} left out")
    return rows


def _truncate(path: Path, size: int) -> None:
    """Cuts off what belongs to no checkpoint. A log that is shorter was cut by somebody else: that is said."""
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    path.touch()
    there = path.stat().st_size
    if there < size:
        terminal.note(f"{path} has {there:,} of {size:,} bytes: epochs are missing in it, and in what is drawn of it")
    with path.open("r+b") as file:
        file.truncate(min(size, there))
        if there and size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

"""Which implementation was measured to be the fastest on which platform: ``measured.json`` beside this file.

``python -m experiments.report`` makes that file from the committed results of ``python -m experiments.accelerator``.
"""

import functools
import json
from importlib import resources
from typing import Any

from rnnjax.layers.cell_names import CELL_CLASSES

_NAMES = {f"rnnjax.layers.cells.{path}": name for name, path in CELL_CLASSES.items()}


def order(platform: str, cell: type) -> tuple[str, ...]:
    """Names of the implementations that were measured, the fastest first; none where nothing was.

    Args:
      platform: as JAX calls it: ``"cpu"``, ``"gpu"``, ``"tpu"``.
      cell: a class of cells. What was measured of one holds for no other, nor for a class that is derived from it.
    """
    name = _NAMES.get(f"{cell.__module__}.{cell.__qualname__}", "")
    found = table().get(platform, {}).get(name, {})
    return tuple(found.get("order", ()))


@functools.cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """By platform and name of the cell: ``order``, the names of the implementations, and ``of``, the result files.

    It is empty where the file is missing or is none: this says what is asked first, never what is computed.
    """
    try:
        text = resources.files("rnnjax.layers").joinpath("measured.json").read_text(encoding="utf-8")
        return checked(json.loads(text))
    except (OSError, ValueError):
        return {}


def checked(values: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """The values, if they are such a table; raises ValueError if not."""
    ok = isinstance(values, dict) and all(isinstance(cells, dict) for cells in values.values())
    rows = [row for cells in values.values() for row in cells.values()] if ok else [None]
    for row in rows:
        names = row.get("order") if isinstance(row, dict) else None
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise ValueError("each cell of each platform needs an order, a list of implementations")
    return values

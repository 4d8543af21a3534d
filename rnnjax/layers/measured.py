"""Which implementation was measured to be the fastest on which platform: ``measured.json`` beside this file.

``python -m experiments.report`` makes that file from the committed results of ``python -m experiments.accelerator``,
and, by numbers of steps and batch sizes, from those of ``python -m experiments.benchmarks long``.
"""

import functools
import json
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from rnnjax.layers.cell_names import CELL_CLASSES

_NAMES = {f"rnnjax.layers.cells.{path}": name for name, path in CELL_CLASSES.items()}


def order(platform: str, cell: type, shape: tuple[Any, ...]) -> tuple[str, ...]:
    """Names of the implementations that were measured, the fastest first; none where nothing was.

    Args:
      platform: as JAX calls it: ``"cpu"``, ``"gpu"``, ``"tpu"``.
      cell: a class of cells. What was measured of one holds for no other, nor for a class that is derived from it.
      shape: ``[T, ...]``, the number of steps (of a chunk, with remat) and the batch axes, before which comes what was
        ahead at sizes as these.
    """
    name = _NAMES.get(f"{cell.__module__}.{cell.__qualname__}", "")
    found = table().get(platform, {}).get(name, {})
    return *_ahead(found.get("sizes", ()), shape), *found.get("order", ())


def _ahead(sizes: Iterable[Mapping[str, Any]], shape: tuple[Any, ...]) -> tuple[str, ...]:
    """What was ahead at all measured sizes next to this one, in steps and in batch; none beyond the outermost."""
    if not all(isinstance(size, int) for size in shape):
        return ()  # exported for any size
    first = {(row["steps"], row["batch"]): row["ahead"] for row in sizes}
    steps = _around({T for T, _ in first}, shape[0])
    batches = _around({B for _, B in first}, math.prod(shape[1:]))
    names = {first.get((T, B)) for T in steps for B in batches}
    return tuple(name for name in names if name is not None) if len(names) == 1 else ()


def _around(measured: Iterable[int], size: int) -> set[int]:
    """The measured sizes next to a size, below and above, or itself; none where it lies outside."""
    below, above = [at for at in measured if at <= size], [at for at in measured if at >= size]
    return {max(below), min(above)} if below and above else set()


@functools.cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """By platform and name of the cell what was measured, and of which result files, ``of``.

    That is ``order``, the names of the implementations, and ``sizes``, rows of ``steps``, ``batch`` and the name of the
    implementation that is ``ahead`` there, None where none was; there may be one of both alone.

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
        names, sizes = (row.get("order", []), row.get("sizes", [])) if isinstance(row, dict) else (None, None)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("the order of a cell is a list of implementations")
        if not (isinstance(sizes, list) and all(map(_is_size, sizes)) and (names or sizes)):
            raise ValueError("each cell of each platform needs an order, or sizes: rows of steps, batch and ahead")
    return values


def _is_size(row: Any) -> bool:
    whole = isinstance(row, dict) and type(row.get("steps")) is type(row.get("batch")) is int
    return whole and isinstance(row.get("ahead"), str | None)

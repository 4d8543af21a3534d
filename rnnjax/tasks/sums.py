"""Whether a task's sums are sums: they add up over rows, padding does not count, and metrics are made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.tasks.base import Task

Run = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]
"""``(outputs, batch)`` give sums, such as :meth:`Task.sums` with ``train`` said."""


def check_shapes(task: Task, sums: Any) -> None:
    """Refuses sums that cannot be added up or divided.

    Args:
      task: whose sums they are.
      sums: what :meth:`Task.sums` gave, or their shapes and dtypes.

    Raises:
      UsageError: unless they are arrays of 32 bits and more by name, with a scalar float ``loss`` and a scalar
        ``weight``.
    """
    name = type(task).__name__
    if not isinstance(sums, dict) or not {"loss", "weight"} <= set(sums):
        got = sorted(sums) if isinstance(sums, dict) else type(sums).__name__
        raise UsageError(f"{name}.sums must give a dictionary with loss and weight, got {got}")
    for key, value in sums.items():
        if not hasattr(value, "dtype"):
            raise UsageError(f"{name}.sums: {key} must be an array, got a {type(value).__name__}")
        if np.dtype(value.dtype).itemsize < 4:  # half precision counts to 2048 at most, and int8 to 127
            raise UsageError(f"{name}.sums: {key} must have 32 bits, since it is added up, got {value.dtype}")
    for key in ("loss", "weight"):
        if sums[key].shape != ():
            raise UsageError(f"{name}.sums: {key} must be a sum over the batch, a scalar, got {list(sums[key].shape)}")
    if not jnp.issubdtype(sums["loss"].dtype, jnp.floating):
        raise UsageError(f"{name}.sums: loss must be a float, got {sums['loss'].dtype}")
    if "grad_norm" in sums:
        raise UsageError(f"{name}.sums: grad_norm is taken; call it otherwise")


def totals(run: Run, outputs: Any, arrays: Mapping[str, Any], rows: Sequence[int], mask: Any) -> dict[str, np.ndarray]:
    """Sums, in float64, of some rows.

    Args:
      run: what makes them.
      outputs: a tree of arrays ``[B, ...]``.
      arrays: the batch without its mask, ``[B, ...]`` each.
      rows: numbers of those that the batch consists of, ``[R]``.
      mask: ``[R]`` booleans, False at those that are padding.
    """
    chosen = np.asarray(rows)
    batch = {key: array[chosen] for key, array in arrays.items()} | {"mask": np.asarray(mask, bool)}
    made = jax.tree.map(lambda leaf: leaf[chosen], outputs)
    return {key: np.asarray(value, np.float64) for key, value in run(*jax.tree.map(jnp.asarray, (made, batch))).items()}


def check_parts(
    task: Task, run: Run, outputs: Any, arrays: Mapping[str, Any], parts: Sequence[Sequence[int]], rtol: float = 1e-3
) -> dict[str, np.ndarray]:
    """Sums of all rows together, which must be what the sums of the parts add up to.

    Args:
      task: whose sums they are.
      run, outputs, arrays: as for :func:`totals`.
      parts: numbers of the rows of each.
      rtol: the difference that is allowed, of the total, or of the parts' absolute values where it is less.

    Raises:
      UsageError: if they do not add up.
    """
    name, rows = type(task).__name__, [row for part in parts for row in part]
    whole = totals(run, outputs, arrays, rows, [True] * len(rows))
    each = [totals(run, outputs, arrays, part, [True] * len(part)) for part in parts]
    for key, total in whole.items():
        added = [part[key] for part in each]
        if any(part.shape != total.shape for part in added):
            shapes = ", ".join(str(list(value.shape)) for value in (total, *added))
            raise UsageError(f"{name}.sums: {key} has another shape for other numbers of rows: {shapes}")
        allowed = 0.1 * rtol + rtol * sum(map(np.abs, added))
        if not _same(total, sum(added), allowed):
            raise UsageError(
                f"{name}.sums: {key} of {_number(len(rows))} examples together is {_shown(total)}, but "
                f"{' and '.join(map(_shown, added))} of {_sizes(parts)}; it must add up over rows "
                "(do [B, 1] and [B] broadcast?)"
            )
    return whole


def check_padding(
    task: Task, run: Run, outputs: Any, arrays: Mapping[str, Any], mask: np.ndarray, rtol: float = 1e-3
) -> None:
    """Refuses sums in which rows count that are padding.

    Args:
      task: whose sums they are.
      run, outputs, arrays: as for :func:`totals`; what stands in padding rows may be anything.
      mask: ``[B]`` booleans, False at padding rows; one is True.
      rtol: the difference that is allowed.

    Raises:
      UsageError: if the sums are others than those of the real rows alone.
    """
    real = np.flatnonzero(mask).tolist()
    padded = totals(run, outputs, arrays, range(len(mask)), mask)
    for key, alone in totals(run, outputs, arrays, real, [True] * len(real)).items():
        if padded[key].shape != alone.shape or not _same(padded[key], alone, 0.1 * rtol + rtol * np.abs(alone)):
            raise UsageError(
                f'{type(task).__name__}.sums: {key} counts rows that are padding; leave out those where batch["mask"] '
                f"is False (it is {_shown(padded[key])}, and {_shown(alone)} of the real rows alone)"
            )


def check_metrics(task: Task, metrics: Mapping[str, Any]) -> None:
    """Raises UsageError unless :meth:`Task.finish` gave floats, the headline among them, under names that are free."""
    name = type(task).__name__
    if task.headline.name not in metrics:
        raise UsageError(f"{name}.headline is {task.headline.name}, but finish gives {', '.join(sorted(metrics))}")
    for key, value in metrics.items():
        if not isinstance(value, float | int):  # np.float64 is a float
            raise UsageError(
                f"{name}.finish: {key} must be a float, got a {type(value).__name__}; float(...) makes one"
            )
        if key in ("epoch", "step"):
            raise UsageError(f"{name}.finish: {key} is taken; call it otherwise")


def _same(ours: Any, theirs: Any, allowed: Any) -> bool:
    """Whether they differ by no more than is allowed, or are both NaN."""
    with np.errstate(invalid="ignore"):
        return bool(((np.abs(ours - theirs) <= allowed) | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all())


def _shown(value: np.ndarray) -> str:
    return f"{value:.6g}" if value.ndim == 0 else f"{value.ravel()[:3].tolist()}"


def _number(count: int) -> str:
    return "two" if count == 2 else str(count)


def _sizes(parts: Sequence[Sequence[int]]) -> str:
    sizes = [len(part) for part in parts]
    return "each by itself" if set(sizes) == {1} else f"parts of {' and '.join(map(str, sizes))}"

"""Gradient accumulation: a device's rows of a batch worked through in parts, for the memory of one part.

What is added up over the parts is the gradient of the *sum* of losses; it is divided once, by the weight of the whole
batch. A mean of the parts' means would weigh the targets of a part with few of them more than those of another.

Axes: B rows of a batch on this device, N parts of B / N rows each.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import single_or_wider

Array = jax.Array

Part = Callable[[Array, Any, Any], tuple[Any, Any, Any]]
"""``part(number, rows, state)`` gives what is added up over the parts, the state after this part, and what belongs to
its rows. ``number`` is the part's, from 0; ``rows`` are its own ``[B / N, ...]``; ``state`` is the one before it."""


def accumulated(parts: int, part: Part, rows: Any, state: Any) -> tuple[Any, Any, Any]:
    """The parts of a batch, one after the other.

    Args:
      parts: N.
      part: what is done with each.
      rows: a tree of ``[B, ...]``; each part has its slice of consecutive rows.
      state: goes on from part to part, such as the statistics of a batch norm.

    Returns:
      The sums over the parts, the state after the last, and what belongs to rows, joined to ``[B, ...]`` again. Sums
      are taken in float32 or wider, and keep their dtype.
    """
    sliced = jax.tree.map(lambda leaf: leaf.reshape(parts, leaf.shape[0] // parts, *leaf.shape[1:]), rows)
    first = jax.tree.map(lambda leaf: leaf[0], sliced)
    shapes = jax.eval_shape(lambda: part(jnp.zeros((), jnp.int32), first, state)[0])
    nothing = jax.tree.map(lambda like: jnp.zeros(like.shape, _wide(like.dtype)), shapes)

    def add(before: tuple[Any, Any], given: tuple[Array, Any]) -> tuple[tuple[Any, Any], Any]:
        total, state = before
        summed, state, of_rows = part(*given, state)
        return (jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, summed), state), of_rows

    (total, state), of_rows = lax.scan(add, (nothing, state), (jnp.arange(parts), sliced))
    total = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), total, shapes)
    return total, state, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), of_rows)


def _wide(dtype: Any) -> Any:
    return single_or_wider(dtype) if jnp.issubdtype(dtype, jnp.floating) else dtype


def check_parts(parts: int, batch_size: int, devices: int) -> None:
    """Refuses a batch whose parts would not have equally many rows on every device.

    Args:
      parts: N.
      batch_size: a multiple of the number of devices.
      devices: of all hosts together.

    Raises:
      UsageError: it names the nearest numbers of parts, and of rows, that fit.
    """
    if batch_size % (parts * devices) == 0:
        return
    a_device = batch_size // devices
    fitting = [n for n in range(1, a_device + 1) if a_device % n == 0]
    near = [max(n for n in fitting if n < parts), *[n for n in fitting if n > parts][:1]]
    down = batch_size // (parts * devices) * parts * devices
    rows = [n for n in (down, down + parts * devices) if n]
    over = f" on each of {devices} devices" if devices > 1 else ""
    raise UsageError(
        f"--train.accumulate {parts} does not divide a batch of {batch_size} into equal parts{over}; "
        f"take {' or '.join(map(str, near))}, or a --data.batch-size of {' or '.join(map(str, rows))}"
    )

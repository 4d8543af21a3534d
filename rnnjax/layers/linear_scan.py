"""The recurrence ``x' = a * x + b`` of a linear cell, with ``a``, ``b`` and the outputs of all steps at once.

What is left is a scan over two operations, or O(log T) parallel steps (Blelloch 1990).

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.layers.cells import Carry, RecurrentCell
from rnnjax.layers.cells.base import keep_dtypes
from rnnjax.layers.fused import loops
from rnnjax.layers.ranks import at_rank_of
from rnnjax.layers.rules import Rules, Steps

Array = jax.Array


def obstacle(cell: RecurrentCell, rules: Rules) -> str | None:
    """Why the recurrence is not a linear one, or None where it is."""
    return cell.linear_obstacle() or (None if rules.zoneout is None else "it has zoneout")


def run(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """A loop over the steps."""
    projected = cell.project(steps.inputs)
    a, b = _coefficients(cell, carry, projected, steps, rules)
    last, states = loops.scan(_step, carry.astype(b.dtype), (a, b), rules.reverse, rules.unroll)
    return keep_dtypes(last, carry), _read(cell, states, projected, carry, rules)


def run_associative(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """An associative scan over at least one step."""
    projected = cell.project(steps.inputs)
    a, b = _coefficients(cell, carry, projected, steps, rules)
    first, final = (-1, 0) if rules.reverse else (0, -1)
    b = b.at[first].add(a[first] * carry)
    _, states = jax.lax.associative_scan(_then, (a, b), reverse=rules.reverse)
    return keep_dtypes(states[final], carry), _read(cell, states, projected, carry, rules)


def _read(cell: RecurrentCell, states: Array, projected, carry: Array, rules: Rules) -> Any:
    outputs = cell.readout(states, projected)
    return (outputs, keep_dtypes(states, carry)) if rules.carries else outputs


def _coefficients(cell: RecurrentCell, carry: Array, projected, steps: Steps, rules: Rules) -> tuple[Array, Array]:
    """``a`` and ``b`` of all steps, under resets and mask."""
    a, b = cell.coefficients(projected)
    b = b.astype(jnp.promote_types(b.dtype, carry.dtype))
    a = jnp.broadcast_to(a, b.shape).astype(b.dtype)
    if steps.starts is not None:
        a, b = jnp.where(steps.starts, 0, a), jnp.where(steps.starts, a * at_rank_of(rules.reset_carry, a) + b, b)
    if steps.real is not None:
        a, b = jnp.where(steps.real, a, 1), jnp.where(steps.real, b, 0)
    return a, b


def _step(state: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
    state = step[0] * state + step[1]
    return state, state


def _then(early: tuple[Array, Array], late: tuple[Array, Array]) -> tuple[Array, Array]:
    return early[0] * late[0], late[0] * early[1] + late[1]

"""The recurrence ``x' = a * x + b`` of a linear cell, with ``a``, ``b`` and the outputs of all steps at once.

What is left is a scan over two operations, O(log T) parallel steps (Blelloch 1990), or about 2 √T steps over √T chunks
of time at once.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

import math
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
    last, states = loops.scan(_step, carry.astype(b.dtype), (a, b, steps.starts), rules.reverse, rules.unroll)
    return keep_dtypes(last, carry), _read(cell, states, projected, carry, rules)


def run_associative(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """An associative scan over at least one step."""
    projected = cell.project(steps.inputs)
    a, b = _coefficients(cell, carry, projected, steps, rules)
    b = _from(carry, a, b, steps.starts, rules.reverse)
    *_, states = jax.lax.associative_scan(_then, (steps.starts, a, b), reverse=rules.reverse)
    return keep_dtypes(states[0 if rules.reverse else -1], carry), _read(cell, states, projected, carry, rules)


def run_chunked(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """About √T chunks of about √T steps, all chunks at once."""
    if not steps.inputs.shape[0]:
        return run(cell, carry, steps, rules)
    projected = cell.project(steps.inputs)
    a, b = _coefficients(cell, carry, projected, steps, rules)
    b = _from(carry, a, b, steps.starts, rules.reverse)
    states = _solved(a, b, rules.reverse, steps.starts)
    return keep_dtypes(states[0 if rules.reverse else -1], carry), _read(cell, states, projected, carry, rules)


def chunk_length(steps: int) -> int:
    """L, the steps of a chunk of so many (at least one): of those with few L + K, for K chunks, that which pads least.

    Few are up to a quarter more than at the square root. Less than L steps are added to fill the last chunk.
    """
    few = 1.25 * sum(_cut(steps, math.isqrt(steps)))
    lengths = [length for length in range(1, min(steps, int(few)) + 1) if sum(_cut(steps, length)) <= few]
    return min(lengths, key=lambda length: (math.prod(_cut(steps, length)), sum(_cut(steps, length)), length))


def _cut(steps: int, length: int) -> tuple[int, int]:
    return length, -(-steps // length)


def _from(carry: Array, a: Array, b: Array, starts: Array | None, reverse: bool) -> Array:
    """``b`` with what the carry gives to the first step."""
    first = -1 if reverse else 0
    given = a[first] * carry
    return b.at[first].add(given if starts is None else jnp.where(starts[first], 0, given))


def _solved(a: Array, b: Array, reverse: bool, starts: Array | None = None) -> Array:
    """The states from zero before the first step, by :func:`_in_chunks`; that step's ``a`` does not matter.

    They solve a system of equations that is linear in them, and its transpose is such a recurrence the other way round:
    so told, JAX keeps ``a`` and the states for the backward pass and nothing that is inside of chunks.
    """

    def residual(states: Array) -> Array:
        return states - a * _met(starts, _before(states, reverse))

    def solve(_, b: Array) -> Array:
        return _in_chunks(a, b, reverse, starts)

    def transposed(_, b: Array) -> Array:
        later = None if starts is None else _before(starts, not reverse)
        return _in_chunks(_before(a, not reverse), b, not reverse, later)

    return jax.lax.custom_linear_solve(residual, b, solve, transposed)


def _before(steps: Array, reverse: bool) -> Array:
    """At each step what the step before it has in the direction; zero at the first."""
    nothing = jnp.zeros_like(steps[:1])
    return jnp.concatenate([steps[1:], nothing] if reverse else [nothing, steps[:-1]])


def _in_chunks(a: Array, b: Array, reverse: bool, starts: Array | None) -> Array:
    """A loop over the L steps of all K chunks at once, each from zero; one over the chunks; and both added.

    The state of the chunk before counts by the product of all ``a`` since then. With ``|a| <= 1`` products only decay,
    and nothing is divided by them: where one underflows to zero, that state is forgotten, as it is step by step.
    """
    total = b.shape[0]
    length, count = _cut(total, chunk_length(total))

    def chunks(steps: Array, filling: Any) -> Array:
        extra = [(0, length * count - total)] + [(0, 0)] * (steps.ndim - 1)  # steps that leave the state as it is
        steps = jnp.pad(steps, extra, constant_values=filling)
        return steps.reshape(count, length, *steps.shape[1:]).swapaxes(0, 1)

    a, b, starts = chunks(a, 1), chunks(b, 0), None if starts is None else chunks(starts, False)
    zeros, ones = jnp.zeros_like(b[0]), jnp.ones_like(a[0])
    seen = None if starts is None else jnp.zeros_like(starts[0])
    _, (seen, products, states) = jax.lax.scan(_step_of_chunks, (seen, ones, zeros), (a, b, starts), reverse=reverse)
    ends = jax.tree.map(lambda each: each[0 if reverse else -1], (products, states, seen))
    _, carries = jax.lax.scan(_step_before, zeros[0], ends, reverse=reverse)
    states = states + products * _met(seen, jnp.broadcast_to(carries[None], states.shape))
    return states.swapaxes(0, 1).reshape(length * count, *b.shape[2:])[:total]


def _met(starts: Array | None, before: Any) -> Any:
    """What is ``before`` steps, but zeros where sequences start: zero times a NaN of the sequence before is a NaN."""
    return before if starts is None else jax.tree.map(lambda part: jnp.where(starts, 0, part), before)


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


# A step, or several as one: ``a``, ``b``, and whether a sequence starts there, None where none does.
_Steps = tuple[Array, Array, Any]


def _step(state: Array, step: _Steps) -> tuple[Array, Array]:
    a, b, start = step
    state = a * _met(start, state) + b
    return state, state


def _step_of_chunks(carry: tuple[Any, Array, Array], step: _Steps) -> tuple[Any, Any]:
    (seen, *before), (a, b, start) = carry, step
    product, state = _met(start, before)
    carry = None if seen is None else seen | start, a * product, a * state + b
    return carry, carry


def _step_before(state: Array, step: _Steps) -> tuple[Array, Array]:
    a, b, start = step
    return a * _met(start, state) + b, state


def _then(early: tuple[Any, Array, Array], late: tuple[Any, Array, Array]) -> tuple[Any, Array, Array]:
    start, a, b = late
    product, state = _met(start, early[1:])
    return None if start is None else start | early[0], product * a, a * state + b

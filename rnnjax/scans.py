"""How a recurrence runs over time: as a scan, fused, or as an associative scan; whole or in chunks.

:class:`rnnjax.recurrence.RNN` checks what it is given, settles the rules, and hands over to :func:`run`.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

import functools
import math
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import Carry, LinearCell, Noise, RecurrentCell
from rnnjax.cells.base import keep_dtypes
from rnnjax.cells.noise import dropout_mask, zoneout
from rnnjax.errors import UsageError

Array = jax.Array


class Steps(NamedTuple):
    """What a scan runs over, time first: inputs ``[T, ..., D]``, real and starts ``[T, ..., 1]`` or None."""

    inputs: Any
    real: Array | None
    starts: Array | None


class Rules(NamedTuple):
    """What is the same for all steps of a scan."""

    initial: Carry
    noise: Noise
    step_dropout: float
    zoneout: Any
    train: bool
    reverse: bool
    unroll: int
    implementation: str


def run(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """All steps: the projection at once, then the recurrence. Outputs ``[T, ..., H]``."""
    dtype = cell.compute_dtype(steps.inputs)
    done = _fused(cell, carry, steps, rules, dtype) if rules.implementation in ("auto", "fused") else None
    if done is None:
        projected = steps._replace(inputs=cell.project(steps.inputs))
        if rules.implementation == "associative":
            done = _associative_scan(cast("LinearCell", cell), carry, projected, rules)
        else:
            done = _scan(cell, carry, projected, rules)
    carry, outputs = done
    if steps.real is not None:
        outputs = jnp.where(steps.real, outputs, jnp.zeros((), outputs.dtype))
    return carry, outputs.astype(dtype)


def _fused(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules, dtype: Any) -> tuple[Carry, Array] | None:
    """The recurrence with its hand-written backward pass, or None where there is none for these options."""
    leaves = jax.tree.leaves(carry)
    plain = (
        all(part is None for part in rules.noise)
        and not rules.step_dropout
        and rules.zoneout is None
        and steps.starts is None
    )
    if plain and all(leaf.dtype == dtype for leaf in leaves):
        batch = steps.inputs.shape[1:-1]
        result = cell.fused_sequence(
            steps.inputs.reshape(steps.inputs.shape[0], math.prod(batch), steps.inputs.shape[-1]),
            jax.tree.map(lambda leaf: leaf.reshape(math.prod(batch), leaf.shape[-1]), carry),
            None if steps.real is None else steps.real.reshape(steps.real.shape[0], math.prod(batch)),
            reverse=rules.reverse,
            unroll=rules.unroll,
        )
        if result is not None:
            return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], *batch, leaf.shape[-1]), result)
    if rules.implementation == "fused":
        raise UsageError(f"RNN: {type(cell).__name__} with these options has no fused implementation; use auto or scan")
    return None


def _scan(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence as ``nn.scan``, for every cell."""
    scan = nn.scan(
        functools.partial(_step, rules=rules),
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
        reverse=rules.reverse,
        unroll=rules.unroll,
    )
    return scan(cell, carry, steps)


def _step(cell: RecurrentCell, carry: Carry, step: Steps, *, rules: Rules) -> tuple[Carry, Array]:
    projected, real, start = step
    if start is not None:
        carry = jax.tree.map(lambda first, old: jnp.where(start, first, old), rules.initial, carry)
    noise = rules.noise
    if rules.step_dropout:
        width = (cell.recurrent_shape or (0, 0))[0]
        shape = (*jax.tree.leaves(carry)[0].shape[:-1], width)
        noise = noise._replace(hidden=dropout_mask(cell.make_rng("dropout"), shape, rules.step_dropout))
    new_carry, output = cell.step(carry, projected, noise)
    new_carry = keep_dtypes(new_carry, carry)
    if rules.zoneout is not None:
        key = cell.make_rng("dropout") if rules.train else None
        new_carry = zoneout(key, carry, new_carry, rules.zoneout)
        output = cell.readout(new_carry, projected)
    if real is not None:
        new_carry = jax.tree.map(lambda new, old: jnp.where(real, new, old), new_carry, carry)
    return new_carry, output


def _associative_scan(cell: LinearCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence of a linear cell, ``x' = a * x + b``, in O(log T) parallel steps (Blelloch 1990)."""
    a, b = cell.coefficients(steps.inputs)
    b = b.astype(jnp.promote_types(b.dtype, carry.dtype))
    a = jnp.broadcast_to(a, b.shape).astype(b.dtype)
    if steps.starts is not None:
        a, b = jnp.where(steps.starts, 0, a), jnp.where(steps.starts, a * rules.initial + b, b)
    if steps.real is not None:
        a, b = jnp.where(steps.real, a, 1), jnp.where(steps.real, b, 0)
    first, last = (-1, 0) if rules.reverse else (0, -1)
    b = b.at[first].add(a[first] * carry)

    def combine(early, late):
        return early[0] * late[0], late[0] * early[1] + late[1]

    _, states = jax.lax.associative_scan(combine, (a, b), reverse=rules.reverse)
    return keep_dtypes(states[last], carry), cell.readout(states, steps.inputs)


def run_chunks(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules, length: int | str) -> tuple[Carry, Array]:
    """As :func:`run`, in chunks of time of which the backward pass keeps only the carries between them."""
    total = steps.inputs.shape[0]
    length = max(1, math.isqrt(total)) if length == "sqrt" else max(1, min(length, total))
    extra = -total % length
    if extra:
        if steps.real is None:
            steps = steps._replace(real=jnp.ones((*steps.inputs.shape[:-1], 1), bool))
        steps = jax.tree.map(lambda part: jnp.pad(part, [(0, extra)] + [(0, 0)] * (part.ndim - 1)), steps)
    chunks = jax.tree.map(lambda part: part.reshape(-1, length, *part.shape[1:]), steps)
    scan = nn.scan(
        nn.remat(functools.partial(run, rules=rules), prevent_cse=False),
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
        reverse=rules.reverse,
    )
    carry, outputs = scan(cell, carry, chunks)
    return carry, outputs.reshape(-1, *outputs.shape[2:])[:total]

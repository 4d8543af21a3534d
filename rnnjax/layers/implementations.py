"""How a recurrence runs over time: as a scan, fused, or as an associative scan; whole or in chunks.

:class:`rnnjax.layers.recurrence.RNN` checks what it is given, settles the rules, and hands over to :func:`run`.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers import cudnn, fused
from rnnjax.layers.cells import Carry, LinearCell, Noise, RecurrentCell
from rnnjax.layers.cells.base import keep_dtypes
from rnnjax.layers.cells.noise import dropout_mask, zoneout, zoneout_mask
from rnnjax.layers.fused import loops

Array = jax.Array
_REPORT: ContextVar[dict[str, str] | None] = ContextVar("implementations", default=None)


class Steps(NamedTuple):
    """What a scan runs over, time first: inputs ``[T, ..., D]``, real and starts ``[T, ..., 1]`` or None."""

    inputs: Any
    real: Array | None
    starts: Array | None


class Rules(NamedTuple):
    """What is the same for all steps of a scan.

    Attributes:
      reset_carry: the carry from which a step starts that is one of :attr:`Steps.starts`.
      lengths: ``[...]``, they say the same as the mask, where they are known.
    """

    reset_carry: Carry
    noise: Noise
    step_dropout: float
    zoneout: Any
    train: bool
    reverse: bool
    unroll: int
    remat: int | str | None
    lengths: Array | None
    implementation: str


@contextlib.contextmanager
def reporting() -> Iterator[dict[str, str]]:
    """Collects which implementation each RNN takes that is called, or traced, in the block.

    Yields:
      ``{path of the RNN within the model: implementation}``, as in ``{"recurrent/layers_0": "fused"}``;
      the path of an RNN that is the whole model is empty. A layer called twice reports its latest call.
    """
    ran: dict[str, str] = {}
    token = _REPORT.set(ran)
    try:
        yield ran
    finally:
        _REPORT.reset(token)


def settled(wanted: str, cell: RecurrentCell, steps: Steps, rules: Rules, path: Sequence[str]) -> Rules:
    """The rules with the implementation that runs; told to :func:`reporting`.

    Raises:
      UsageError: if the wanted implementation cannot run, with the reason.
    """
    obstacles = {
        "scan": _nothing,
        "fused": _fused_obstacle,
        "associative": _associative_obstacle,
        "cudnn": _cudnn_obstacle,
    }
    if wanted == "auto":
        # On a CPU the associative scan's additional passes over the states cost more than a loop.
        order = ("fused", "scan") if jax.default_backend() == "cpu" else ("associative", "fused", "scan")
        chosen = next(name for name in order if obstacles[name](cell, steps, rules) is None)
    else:
        chosen, reason = wanted, obstacles[wanted](cell, steps, rules)
        if reason is not None:
            raise UsageError(
                f"RNN: implementation={wanted!r} cannot run {type(cell).__name__} here: {reason}; "
                "use implementation='auto' or 'scan'"
            )
    ran = _REPORT.get()
    if ran is not None:
        ran["/".join(path)] = chosen
    return rules._replace(implementation=chosen)


def _nothing(cell: RecurrentCell, steps: Steps, rules: Rules) -> None:
    del cell, steps, rules


def _fused_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    dtype = cell.compute_dtype(steps.inputs)
    other = [leaf.dtype for leaf in jax.tree.leaves(rules.reset_carry) if leaf.dtype != dtype]
    if other:
        return f"its carry is {other[0]} and its products are {jnp.dtype(dtype)}, but both must be of one dtype"
    return cell.fused_obstacle()


def _associative_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    if not isinstance(cell, LinearCell):
        return "its recurrence is not linear"
    if rules.zoneout is not None:
        return "it has zoneout"
    return None if steps.inputs.shape[0] else "the sequence has no steps"


def _cudnn_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(rules.reset_carry)} | {jnp.dtype(cell.compute_dtype(steps.inputs))}
    obstacles = {
        "zoneout": rules.zoneout is not None,
        "recurrent_dropout": rules.step_dropout or rules.noise.hidden is not None,
        "resets": steps.starts is not None,
        "remat": rules.remat is not None,
        "a mask, which cuDNN knows by lengths= alone": steps.real is not None and rules.lengths is None,
        "a sequence without steps": not steps.inputs.shape[0],
        "a batch without rows": 0 in steps.inputs.shape[1:-1],
        "another dtype than float32": dtypes != {jnp.dtype(jnp.float32)},
    }
    reasons = [reason for reason, there in obstacles.items() if there]
    return cell.cudnn_obstacle() or (f"it has {', '.join(reasons)}" if reasons else cudnn.obstacle())


def run(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """All steps: the projection at once, then the recurrence. Outputs ``[T, ..., H]``."""
    dtype = cell.compute_dtype(steps.inputs)
    if rules.implementation == "fused":
        carry, outputs = _fused(cell, carry, steps, rules)
    elif rules.implementation == "cudnn":
        carry, outputs = _cudnn(cell, carry, steps, rules)
    else:
        projected = steps._replace(inputs=cell.project(steps.inputs))
        if isinstance(cell, LinearCell) and rules.zoneout is None:
            carry, outputs = _linear_scan(cell, carry, projected, rules)
        else:
            carry, outputs = _scan(cell, carry, projected, rules)
    if steps.real is not None:
        outputs = jnp.where(steps.real, outputs, jnp.zeros((), outputs.dtype))
    return carry, outputs.astype(dtype)


def _fused(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence with its hand-written backward pass."""
    batch = steps.inputs.shape[1:-1]
    flat = lambda leaf: leaf.reshape(math.prod(batch), *leaf.shape[len(batch) :])  # noqa: E731
    flat_steps = lambda leaf: leaf.reshape(leaf.shape[0], math.prod(batch), leaf.shape[-1])  # noqa: E731
    noise, stay = _drawn(cell, carry, steps, rules)
    extras = fused.Extras(
        starts=None if steps.starts is None else flat_steps(steps.starts)[..., 0],
        initial=None if steps.starts is None else jax.tree.map(flat, rules.reset_carry),
        noise=None if noise is None else (flat_steps if rules.step_dropout else flat)(noise),
        stay=jax.tree.map(lambda leaf: flat_steps(leaf) if jnp.ndim(leaf) else leaf, stay),
    )
    real = None if steps.real is None else flat_steps(steps.real)[..., 0]
    options = {"reverse": rules.reverse, "unroll": rules.unroll}
    flat_carry = jax.tree.map(flat, carry)
    result = cell.fused_sequence(flat_steps(steps.inputs), flat_carry, real, extras, rules.noise, **options)
    return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], *batch, leaf.shape[-1]), result)


def _cudnn(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence by cuDNN, which has its batch first."""
    batch = steps.inputs.shape[1:-1]
    rows = math.prod(batch)
    inputs = jnp.swapaxes(steps.inputs.reshape(steps.inputs.shape[0], rows, steps.inputs.shape[-1]), 0, 1)
    flat = jax.tree.map(lambda leaf: leaf.reshape(rows, -1), carry)
    lengths = None if rules.lengths is None else rules.lengths.reshape(rows)
    last, outputs = cell.cudnn_sequence(inputs, flat, lengths, rules.noise, reverse=rules.reverse)
    outputs = jnp.swapaxes(outputs, 0, 1)
    return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], *batch, leaf.shape[-1]), (last, outputs))


def _drawn(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Array | None, Any]:
    """The hidden state's dropout mask, and zoneout's: those of all steps, drawn as :func:`_step` draws them."""
    if not rules.step_dropout and (rules.zoneout is None or not rules.train):
        return rules.noise.hidden, rules.zoneout

    def draw(cell, _, step):
        del step
        noise = _step_noise(cell, carry, rules).hidden if rules.step_dropout else None
        return None, (noise, _step_stay(cell, carry, rules))

    noise, stay = _over_time(draw, rules)(cell, None, jnp.arange(steps.inputs.shape[0]))[1]
    return noise if rules.step_dropout else rules.noise.hidden, stay


def _scan(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence as ``nn.scan``, for every cell."""
    return _over_time(functools.partial(_step, rules=rules), rules)(cell, carry, steps)


def _over_time(step: Callable, rules: Rules) -> Callable:
    return nn.scan(
        step,
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
        reverse=rules.reverse,
        unroll=rules.unroll,
    )


def _step(cell: RecurrentCell, carry: Carry, step: Steps, *, rules: Rules) -> tuple[Carry, Array]:
    projected, real, start = step
    if start is not None:
        carry = jax.tree.map(lambda first, old: jnp.where(start, first, old), rules.reset_carry, carry)
    new_carry, output = cell.step(carry, projected, _step_noise(cell, carry, rules))
    new_carry = keep_dtypes(new_carry, carry)
    if rules.zoneout is not None:
        new_carry = zoneout(_step_stay(cell, carry, rules), carry, new_carry)
        output = cell.readout(new_carry, projected)
    if real is not None:
        new_carry = jax.tree.map(lambda new, old: jnp.where(real, new, old), new_carry, carry)
    return new_carry, output


def _step_noise(cell: RecurrentCell, carry: Carry, rules: Rules) -> Noise:
    """The noise of one step, with what is drawn at every step."""
    if not rules.step_dropout:
        return rules.noise
    shape = (*jax.tree.leaves(carry)[0].shape[:-1], (cell.recurrent_shape or (0, 0))[0])
    return rules.noise._replace(hidden=dropout_mask(cell.make_rng("dropout"), shape, rules.step_dropout))


def _step_stay(cell: RecurrentCell, carry: Carry, rules: Rules) -> Any:
    """Which units of the carry zoneout keeps in one step; without ``train`` its rates, None without zoneout."""
    if rules.zoneout is None or not rules.train:
        return rules.zoneout
    return zoneout_mask(cell.make_rng("dropout"), carry, rules.zoneout)


def _linear_scan(cell: LinearCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence ``x' = a * x + b`` of a linear cell, with ``a``, ``b`` and the outputs of all steps at once.

    What is left is a scan over two operations, or O(log T) parallel steps (Blelloch 1990).
    """
    a, b = cell.coefficients(steps.inputs)
    b = b.astype(jnp.promote_types(b.dtype, carry.dtype))
    a = jnp.broadcast_to(a, b.shape).astype(b.dtype)
    if steps.starts is not None:
        a, b = jnp.where(steps.starts, 0, a), jnp.where(steps.starts, a * rules.reset_carry + b, b)
    if steps.real is not None:
        a, b = jnp.where(steps.real, a, 1), jnp.where(steps.real, b, 0)
    if rules.implementation == "associative":
        first, final = (-1, 0) if rules.reverse else (0, -1)
        b = b.at[first].add(a[first] * carry)
        _, states = jax.lax.associative_scan(_then, (a, b), reverse=rules.reverse)
        last = states[final]
    else:
        last, states = loops.scan(_linear_step, carry.astype(b.dtype), (a, b), rules.reverse, rules.unroll)
    return keep_dtypes(last, carry), cell.readout(states, steps.inputs)


def _linear_step(state: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
    state = step[0] * state + step[1]
    return state, state


def _then(early: tuple[Array, Array], late: tuple[Array, Array]) -> tuple[Array, Array]:
    return early[0] * late[0], late[0] * early[1] + late[1]


def run_chunks(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """As :func:`run`, in chunks of time of which the backward pass keeps only the carries between them."""
    total, length = steps.inputs.shape[0], rules.remat
    length = max(1, math.isqrt(total)) if length == "sqrt" else max(1, min(length, total))
    extra = -total % length
    if extra:
        if steps.real is None:
            steps = steps._replace(real=jnp.ones((*steps.inputs.shape[:-1], 1), bool))
        steps = jax.tree.map(lambda part: jnp.pad(part, [(0, extra)] + [(0, 0)] * (part.ndim - 1)), steps)
    # Sizes in full: with a batch of no rows, reshape cannot tell what -1 would be.
    count = (total + extra) // length
    chunks = jax.tree.map(lambda part: part.reshape(count, length, *part.shape[1:]), steps)
    scan = nn.scan(
        nn.remat(functools.partial(run, rules=rules), prevent_cse=False),
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
        reverse=rules.reverse,
    )
    carry, outputs = scan(cell, carry, chunks)
    return carry, outputs.reshape(count * length, *outputs.shape[2:])[:total]

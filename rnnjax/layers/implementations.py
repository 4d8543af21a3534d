"""How a recurrence runs over time: as a scan, fused, as an associative scan, or chunked; whole or in chunks with remat.

:class:`rnnjax.layers.rnn.RNN` checks what it is given, settles the rules, and hands over to :func:`run`.
To add an implementation is to add a row to :data:`IMPLEMENTATIONS`.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers import cudnn, fused, linear_scan, measured, meshes, pallas, plain_scan, target, variables
from rnnjax.layers.cells import Carry, RecurrentCell
from rnnjax.layers.cells.base import keep_dtypes
from rnnjax.layers.rules import Implementation, Rules, Steps

Array = jax.Array
_REPORT: ContextVar[dict[str, str] | None] = ContextVar("implementations", default=None)
# JAX keeps what it traced under this value too: a function traced in a block below is not taken outside of it.
_ALLOWED = jax.make_user_context(None)


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


def implementation(*names: str) -> contextlib.AbstractContextManager[None]:
    """Layers that are called, or traced, in the block take an implementation of these, also inside a built model.

    A layer keeps its own where it is among them; any other takes the first of them that can run, in the order of
    ``"auto"``::

        with rnnjax.implementation("scan"):
            logits = model.apply(variables, images)

    Raises:
      UsageError: if there is none of such a name.
    """
    known = [row.name for row in IMPLEMENTATIONS]
    if not names or not set(names) <= set(known):
        raise UsageError(
            f"implementation: give some of {', '.join(known)}, got {', '.join(map(repr, names)) or 'none'}"
        )
    return _ALLOWED(tuple(names))


def checked(wanted: str | Implementation) -> str | Implementation:
    """What is wanted, if there is such an implementation.

    Raises:
      UsageError: if there is none of this name.
    """
    names = ["auto", *(row.name for row in IMPLEMENTATIONS)]
    if not isinstance(wanted, Implementation) and wanted not in names:
        raise UsageError(
            f"RNN: implementation must be {', '.join(names)} or an Implementation of your own, got {wanted!r}"
        )
    return wanted


def settled(
    wanted: str | Implementation, cell: RecurrentCell, steps: Steps, rules: Rules, path: Sequence[str]
) -> Rules:
    """The rules with the implementation that runs; told to :func:`reporting`.

    Raises:
      UsageError: if the wanted implementation cannot run, with the reason.
    """
    allowed = _ALLOWED.value
    if allowed is not None and wanted not in allowed:
        wanted = "auto" if len(allowed) > 1 else allowed[0]
    if wanted == "auto":
        total, *batch = steps.inputs.shape[:-1]
        asked = _in_order(target.platform(), type(cell), (_chunk_length(total, rules.remat), *batch))
        can = (row for row in asked if _obstacle(row, cell, steps, rules) is None)
        chosen = next((row for row in can if allowed is None or row.name in allowed), None)
        if chosen is None:
            raise UsageError(f"RNN: none of {', '.join(allowed or ())} can run {cell._kind} here")
    else:
        named = (row for row in IMPLEMENTATIONS if row.name == wanted)
        chosen = wanted if isinstance(wanted, Implementation) else next(named)
        reason = _obstacle(chosen, cell, steps, rules)
        if reason is not None:
            raise UsageError(
                f"RNN: implementation={chosen.name!r} cannot run {cell._kind} here: {reason}; "
                "use implementation='auto' or 'scan'"
            )
    ran = _REPORT.get()
    if ran is not None:
        ran["/".join(path)] = chosen.name
    return rules._replace(implementation=chosen)


def _in_order(platform: str, cell: type, shape: tuple[Any, ...]) -> Iterator[Implementation]:
    """The rows as "auto" asks them: those that were measured there, the fastest first, then the others in order."""
    rows = {row.name: row for row in IMPLEMENTATIONS}
    first = [rows[name] for name in dict.fromkeys(measured.order(platform, cell, shape)) if name in rows]
    yield from first
    yield from (row for row in IMPLEMENTATIONS if row not in first and row.good_on(platform))


def _obstacle(row: Implementation, cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    if rules.carries and not row.carries:
        return "it gives the last carry alone, and return_carries=True asks for that of each step"
    return row.obstacle(cell, steps, rules)


def run(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """All steps, by the implementation that was chosen. Outputs ``[T, ..., H]``, with carries if asked for."""
    assert rules.implementation is not None, "settled() chooses one"
    carry, outputs = rules.implementation.run(cell, carry, steps, rules)
    outputs, carries = outputs if rules.carries else (outputs, None)
    if steps.real is not None:
        outputs = jnp.where(steps.real, outputs, jnp.zeros((), outputs.dtype))
    dtype = cell.compute_dtype(steps.inputs)
    outputs = outputs if dtype is None else outputs.astype(dtype)
    return carry, (outputs, carries) if rules.carries else outputs


def run_chunks(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Any]:
    """As :func:`run`, in chunks of time of which the backward pass keeps only the carries between them."""
    total = steps.inputs.shape[0]
    if not isinstance(total, int):
        return run(cell, carry, steps, rules)  # exported for any number of steps, which cannot be told into chunks
    length = max(1, _chunk_length(total, rules.remat))
    if cell.carried and cell.is_initializing():
        return run(cell, carry, steps, rules)  # the loop over chunks carries variables, which must be there before it
    extra = -total % length
    keys = plain_scan.step_keys(cell, steps, rules)
    if extra:
        if steps.real is None:
            steps = steps._replace(real=jnp.ones((*steps.inputs.shape[:-1], 1), bool))
        steps = jax.tree.map(lambda part: jnp.pad(part, [(0, extra)] + [(0, 0)] * (part.ndim - 1)), steps)
    if keys is not None:  # padded steps draw what is thrown away
        again = jnp.arange(total + extra) % max(1, total)
        steps = steps._replace(keys=jax.tree.map(lambda of_steps: of_steps[again], keys))
    # Sizes in full: with a batch of no rows, reshape cannot tell what -1 would be.
    count = (total + extra) // length
    chunks = jax.tree.map(lambda part: part.reshape(count, length, *part.shape[1:]), steps)
    body = nn.remat(functools.partial(run, rules=rules), prevent_cse=False)
    scan = nn.scan(body, reverse=rules.reverse, **variables.lifted(cell))
    with variables.appending(cell):
        carry, outputs = variables.in_chunks(scan, cell, total, length)(cell, carry, chunks)
    return carry, jax.tree.map(lambda leaf: leaf.reshape(count * length, *leaf.shape[2:])[:total], outputs)


def _chunk_length(total: Any, remat: int | str | None) -> Any:
    """The steps that an implementation runs over in one go: all, or with remat those of a chunk."""
    if remat is None or not isinstance(total, int):
        return total
    return min(remat, total) if isinstance(remat, int) else math.isqrt(total)


def _associative_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    count = steps.inputs.shape[0]
    if not isinstance(count, int):
        return "its number of steps is free, and depth depends on it"
    return linear_scan.obstacle(cell, rules) or (None if count else "the sequence has no steps")


def _chunked_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    if not isinstance(steps.inputs.shape[0], int):
        return "its number of steps is free, and chunks are cut by it"
    return linear_scan.obstacle(cell, rules)


def _fused_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    return _dtype_obstacle(cell, steps, rules) or cell.fused_obstacle()


def _dtype_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    dtype = cell.compute_dtype(steps.inputs)
    other = [leaf.dtype for leaf in jax.tree.leaves(rules.reset_carry) if dtype is not None and leaf.dtype != dtype]
    if not other:
        return None
    return f"its carry is {other[0]} and its products are {jnp.dtype(dtype)}, but both must be of one dtype"


def _fused(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence with its hand-written backward pass."""
    return _at_once(cell.fused_sequence, cell, carry, steps, rules)


def _at_once(
    sequence: Callable[..., Any], cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules
) -> tuple[Carry, Array]:
    """The recurrence by a method of the cell that has the arguments of ``fused_sequence``."""
    batch = steps.inputs.shape[1:-1]
    flat = lambda leaf: leaf.reshape(math.prod(batch), *leaf.shape[len(batch) :])  # noqa: E731
    flat_steps = lambda leaf: leaf.reshape(leaf.shape[0], math.prod(batch), leaf.shape[-1])  # noqa: E731
    noise, stay = plain_scan.drawn(cell, carry, steps, rules)
    extras = fused.Extras(
        starts=None if steps.starts is None else flat_steps(steps.starts)[..., 0],
        initial=None if steps.starts is None else jax.tree.map(flat, rules.reset_carry),
        noise=None if noise is None else (flat_steps if rules.step_dropout else flat)(noise),
        stay=jax.tree.map(lambda leaf: flat_steps(leaf) if jnp.ndim(leaf) else leaf, stay),
    )
    real = None if steps.real is None else flat_steps(steps.real)[..., 0]
    options = {"reverse": rules.reverse, "unroll": rules.unroll} | ({"carries": True} if rules.carries else {})
    flat_carry = jax.tree.map(flat, carry)
    last, outputs = sequence(flat_steps(steps.inputs), flat_carry, real, extras, rules.noise, **options)
    # Weights may have been cast after they were made, and their products with them: the carry stays what it was.
    if rules.carries:
        outputs = outputs[0], keep_dtypes(outputs[1], flat_carry)
    result = keep_dtypes(last, flat_carry), outputs
    return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-2], *batch, leaf.shape[-1]), result)


def _cudnn_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    if cell.cudnn_obstacle():
        return cell.cudnn_obstacle()
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
    return f"it has {', '.join(reasons)}" if reasons else cudnn.obstacle()


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


def _pallas_obstacle(cell: RecurrentCell, steps: Steps, rules: Rules) -> str | None:
    if cell.pallas_obstacle():
        return cell.pallas_obstacle()
    dropout = rules.step_dropout or rules.noise.hidden is not None
    has = {"zoneout": rules.zoneout is not None, "recurrent_dropout": dropout}
    if any(has.values()):
        return f"it has {', '.join(name for name, there in has.items() if there)}, which its kernels have not"
    sizes = steps.inputs.shape[:-1]
    return _dtype_obstacle(cell, steps, rules) or pallas.obstacle(
        cell.features, cell.compute_dtype(steps.inputs), sizes
    )


def _pallas(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """The recurrence by kernels for a TPU."""
    return _at_once(cell.pallas_sequence, cell, carry, steps, rules)


def _scan(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    """A loop: over two operations where the recurrence is linear, else over the cell's step."""
    loop = plain_scan.run if linear_scan.obstacle(cell, rules) else linear_scan.run
    return meshes.with_whole_weights(loop)(cell, carry, steps, rules)


def _associative(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    return meshes.with_whole_weights(linear_scan.run_associative)(cell, carry, steps, rules)


def _chunked(cell: RecurrentCell, carry: Carry, steps: Steps, rules: Rules) -> tuple[Carry, Array]:
    return meshes.with_whole_weights(linear_scan.run_chunked)(cell, carry, steps, rules)


# In the order in which "auto" asks them, after those that were measured on the platform: see measured.py.
IMPLEMENTATIONS = (
    # On a CPU the associative scan's additional passes over the states cost more than a loop.
    Implementation("associative", lambda name: name != "cpu", _associative_obstacle, _associative, True),
    # Nothing takes it unasked: where a measurement speaks for it, that asks it first. So cuDNN and Pallas.
    Implementation("chunked", lambda backend: False, _chunked_obstacle, _chunked, carries=True),
    Implementation("fused", lambda backend: True, _fused_obstacle, _fused, carries=True),
    Implementation("cudnn", lambda backend: False, _cudnn_obstacle, _cudnn),
    Implementation("pallas", lambda backend: False, _pallas_obstacle, _pallas),
    Implementation("scan", lambda backend: True, lambda cell, steps, rules: None, _scan, carries=True),
)

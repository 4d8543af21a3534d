"""What the fused recurrences share: their loops, their options, and the sums after the loops."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from rnnjax.errors import UsageError
from rnnjax.layers.fused.rows import next_row
from rnnjax.layers.ranks import at_rank_of

Array = jax.Array


class Extras(NamedTuple):
    """What can be added to a plain recurrence; None where it is off.

    Attributes:
      starts: ``[T, B]`` booleans, True at steps that begin from ``initial``.
      initial: the carry that they begin from; None takes the one before the first step.
      noise: ``[B, H]``, or ``[T, B, H]`` with one a step; it multiplies the hidden state where that
        meets the recurrent kernel.
      stay: zoneout, built as the carry. Leaves are ``[T, B, H]`` booleans, True where a unit keeps its
        old value, or rates, which mix the old and the new value.
    """

    starts: Array | None = None
    initial: Any = None
    noise: Array | None = None
    stay: Any = None

    def each(self) -> "Extras":
        """The parts with one entry a step, for a loop to run over."""
        return jax.tree.map(lambda leaf: leaf if jnp.ndim(leaf) == 3 else None, self)

    def at(self, step: "Extras") -> "Extras":
        """All parts at one step, given its entries of :meth:`each`."""
        here = lambda whole, entry: whole if entry is None else entry  # noqa: E731
        return jax.tree.map(here, self, step, is_leaf=lambda leaf: leaf is None)

    def begin(self, carry: Any) -> Any:
        """The carry that a step begins with."""
        starts = self.starts
        if starts is None:
            return carry
        return jax.tree.map(lambda first, old: jnp.where(starts, first, old), self.initial, carry)

    def begin_backward(self, d_carry: Any, d_initial: Any) -> tuple[Any, Any]:
        """From the cotangent of what a step began with to those of the carry before, and of ``initial`` so far."""
        starts = self.starts
        if starts is None:
            return d_carry, None
        d_initial = jax.tree.map(lambda so_far, d: so_far + jnp.where(starts, d, 0), d_initial, d_carry)
        return jax.tree.map(lambda d: jnp.where(starts, 0, d), d_carry), d_initial

    def no_initial(self) -> Any:
        """The cotangent of ``initial`` before the first step."""
        return None if self.starts is None else jax.tree.map(jnp.zeros_like, self.initial)

    def dropped(self, hidden: Array) -> Array:
        """``hidden`` as it meets the recurrent kernel."""
        return hidden if self.noise is None else hidden * at_rank_of(self.noise, hidden)

    def mixed(self, old: Any, new: Any) -> Any:
        """The new carry, but the old one where zoneout keeps it."""
        if self.stay is None:
            return new

        return jax.tree.map(_mix, self.stay, old, new)

    def mixed_backward(self, d_mixed: Any) -> tuple[Any, Any]:
        """From the cotangent of :meth:`mixed` to those of ``old``, None without zoneout, and ``new``."""
        if self.stay is None:
            return jax.tree.map(lambda _: None, d_mixed), d_mixed
        nothing = jax.tree.map(jnp.zeros_like, d_mixed)
        return jax.tree.map(_mix, self.stay, d_mixed, nothing), jax.tree.map(_mix, self.stay, nothing, d_mixed)

    def backward(self, before: Array, d_products: Array, kernel: Array, d_initial: Any) -> "Extras":
        """The cotangents, given those of the products with ``kernel``, ``[T, B, Z]``, and of ``initial``."""
        d_noise = None
        if self.noise is not None:  # Dropout's masks need none: then the compiler leaves this product out.
            d_noise = before * (d_products @ kernel.T)
            d_noise = d_noise if self.noise.ndim == 3 else d_noise.sum(0)
        return Extras(initial=d_initial, noise=d_noise)


PLAIN = Extras()


class _Loop(nn.Module):
    """``nn.scan`` over a function without parameters; it compiles to the program of ``lax.scan``."""

    step: Callable[[Any, Any], tuple[Any, Any]]
    reverse: bool
    unroll: int

    @nn.compact
    def __call__(self, carry, steps):
        def step(_, carry, inputs):
            return self.step(carry, inputs)

        return nn.scan(step, reverse=self.reverse, unroll=self.unroll)(self, carry, steps)


def scan(step, carry, steps, reverse, unroll) -> Any:
    """``step(carry, inputs) -> (carry, outputs)`` over all steps."""
    return _Loop(step=step, reverse=reverse, unroll=unroll, parent=None).apply({}, carry, steps)


def scan_ahead(step, carry, rows, steps, reverse, unroll) -> tuple[Any, Any]:
    """Scans ``step(carry, row, inputs) -> (carry, outputs)``; each row is read while the step before runs.

    A row so read is an array of its own. XLA's CPU loops over a step's element-wise part are several times
    slower where they take different slices of a row straight from the array of all rows.
    """
    if rows.shape[0] == 0:  # There is no row to index, not even while tracing.
        return scan(lambda carry, inputs: step(carry, *inputs), carry, (rows, steps), reverse, unroll)

    def reading_ahead(state, inputs):
        carry, row = state
        index, inputs = inputs
        carry, outputs = step(carry, row, inputs)
        row = next_row(rows, index - 1 if reverse else index + 1, row)
        return (carry, row), outputs

    first = rows[-1] if reverse else rows[0]
    (carry, _), outputs = scan(reading_ahead, (carry, first), (jnp.arange(rows.shape[0]), steps), reverse, unroll)
    return carry, outputs


def scan_replacing(step, carry, rows, steps, reverse, unroll, ahead=False) -> tuple[Any, Any, Any]:
    """Scans ``step(carry, row, inputs) -> (carry, row, saved)``, whose new rows take the old ones' place.

    XLA keeps to the place only if all reads of the array come before its write; where it cannot tell,
    it copies the whole array at every step. On a CPU it can tell if
    the new row is an operand of a product of matrices, or needs a tanh. Elsewhere, and with B = 1,
    whose product is one of vectors, the loop reads ahead, from what it has just written, which
    moves each row once more. Of several steps in one iteration the rows are read together and written together.
    """
    if unroll > 1 and rows.shape[0]:
        return _replacing_together(step, carry, rows, steps, reverse, unroll)

    def in_place(state, inputs):
        carry, rows = state
        index, inputs = inputs
        carry, row, saved = step(carry, lax.dynamic_index_in_dim(rows, index, 0, keepdims=False), inputs)
        return (carry, lax.dynamic_update_index_in_dim(rows, row, index, 0)), saved

    def reading_ahead(state, inputs):
        (carry, row), rows = state
        index, inputs = inputs
        carry, row, saved = step(carry, row, inputs)
        rows = lax.dynamic_update_index_in_dim(rows, row, index, 0)
        row = next_row(rows, index - 1 if reverse else index + 1, row)
        return ((carry, row), rows), saved

    def apart(carry, inputs):
        carry, row, saved = step(carry, *inputs)
        return carry, (row, saved)

    indexed = (jnp.arange(rows.shape[0]), steps)
    if rows.shape[0] == 0:  # There is no row to index, not even while tracing.
        carry, (rows, saved) = scan(apart, carry, (rows, steps), reverse, unroll)
    elif ahead or rows.shape[1] == 1:
        first = rows[-1] if reverse else rows[0]
        ((carry, _), rows), saved = scan(reading_ahead, ((carry, first), rows), indexed, reverse, unroll)
    else:
        (carry, rows), saved = scan(in_place, (carry, rows), indexed, reverse, unroll)
    return carry, rows, saved


def _replacing_together(step, carry, rows, steps, reverse, unroll) -> tuple[Any, Any, Any]:
    """:func:`scan_replacing` with ``unroll`` steps in one iteration, or as many fewer as divide all.

    One by one, XLA's CPU compiler would take a step's row from the array once more where it is used later in the
    iteration, after another step's row was written, and therefore copy the whole array at every step.
    """
    total = rows.shape[0]
    count = max(size for size in range(1, unroll + 1) if total % size == 0) if isinstance(total, int) else 1
    if count == 1:
        return scan_replacing(step, carry, rows, steps, reverse, 1, ahead=True)
    places = range(count)[:: -1 if reverse else 1]

    def together(carry, rows, steps):
        made: list[Any] = [None] * count
        for at in places:
            carry, *made[at] = step(carry, rows[at], jax.tree.map(lambda leaf, at=at: leaf[at], steps))
        return carry, *jax.tree.map(lambda *each: jnp.stack(each), *made)

    split = lambda leaf: leaf.reshape(total // count, count, *leaf.shape[1:])  # noqa: E731
    blocks = jax.tree.map(split, (rows, steps))
    carry, *arrays = scan_replacing(together, carry, blocks[0], blocks[1], reverse, 1, ahead=True)
    return carry, *jax.tree.map(lambda leaf: leaf.reshape(total, *leaf.shape[2:]), arrays)


def _mix(stay: Array, old: Array, new: Array) -> Array:
    return jnp.where(stay, old, new) if stay.dtype == jnp.bool_ else stay * old + (1 - stay) * new


def add(*terms: Array | None) -> Array:
    """The sum of the terms that are there."""
    there = [term for term in terms if term is not None]
    return functools.reduce(jnp.add, [at_rank_of(term, there[0]) for term in there])


def keep(real: Array | None, new: Array, other: Array | float) -> Array:
    """``new`` at real steps and ``other`` at masked ones; selected, so that a NaN stays where it is."""
    return new if real is None else jnp.where(real, new, jnp.asarray(other, new.dtype))


def passing(real: Array | None, kept: Array | None, d_hidden: Array) -> Array | None:
    """What of the hidden state's cotangent goes around a step: what zoneout kept, and at masked steps all."""
    return kept if real is None else keep(real, jnp.zeros_like(d_hidden) if kept is None else kept, d_hidden)


def outputs_from(before: Array, last: Array, mask: Array | None, reverse: bool) -> Array:
    """The outputs, told by the hidden state ``before [T, B, H]`` each step and the ``last [B, H]`` one."""
    after = jnp.concatenate([last[None], before])[:-1] if reverse else jnp.concatenate([before, last[None]])[1:]
    return keep(mask, after, 0)


def with_carries(outputs: Array, kept: Any, befores: Any, last: Any, reverse: bool) -> tuple[Array, Any]:
    """The outputs, and the carry after each step: what the loop ``kept``, or else told by those before the steps."""
    if kept is None:
        kept = jax.tree.map(lambda before, leaf: outputs_from(before, leaf, None, reverse), befores, last)
    return outputs, kept


def arriving(d_carry: Any, d_here: Any) -> Any:
    """The cotangent of the carry after a step, with what comes from that carry as a result; None if it is none."""
    return d_carry if d_here is None else jax.tree.map(jnp.add, d_carry, d_here)


def kernel_gradient(rows: Array, d_products: Array) -> Array:
    """The sum of outer products over all leading axes, as one product: ``[..., D], [..., Z] -> [D, Z]``."""
    rows, columns = (array.reshape(-1, array.shape[-1]) for array in (rows, d_products))
    return rows.T @ columns


def bias_gradient(bias: Array | None, d_projected: Array) -> Array | None:
    """The sum over all steps and rows, where there is a bias."""
    return None if bias is None else d_projected.sum((0, 1))


def operands(function: str, gates: int, projected, recurrent_kernel, bias, carry, mask, extras: Extras):
    """The arrays in ``projected``'s dtype and step-wise booleans as ``[T, B, 1]``, after checking every shape."""
    if projected.ndim != 3 or projected.shape[-1] % gates:
        raise UsageError(f"{function}: projected must have shape [T, B, {gates} * H], got {projected.shape}")
    steps, batch, width = projected.shape
    features = width // gates
    initial = carry if extras.initial is None else extras.initial
    named = [("recurrent_kernel", recurrent_kernel, [(features, width)])]
    named += [("carry", leaf, [(batch, features)]) for leaf in jax.tree.leaves(carry)]
    named += [("initial", leaf, [(batch, features)]) for leaf in jax.tree.leaves(initial)]
    named += [] if bias is None else [("bias", bias, [(width,)])]
    named += [] if extras.noise is None else [("noise", extras.noise, [(batch, features), (steps, batch, features)])]
    named += [("stay", leaf, [(), (steps, batch, features)]) for leaf in jax.tree.leaves(extras.stay)]
    for name, array, shapes in named:
        if jnp.shape(array) not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise UsageError(f"{function}: {name} must have shape {wanted}, got {jnp.shape(array)}")
    for name, flags in (("mask", mask), ("starts", extras.starts)):
        if flags is not None and (flags.dtype != jnp.bool_ or flags.shape != (steps, batch)):
            raise UsageError(
                f"{function}: {name} must be boolean of shape {(steps, batch)}, got {flags.dtype} {flags.shape}"
            )
    dtype = projected.dtype
    arrays = jax.tree.map(lambda array: array.astype(dtype), (recurrent_kernel, bias, carry))
    initial, noise = jax.tree.map(lambda array: array.astype(dtype), (initial, extras.noise))
    stay = jax.tree.map(lambda leaf: leaf if jnp.ndim(leaf) else jnp.asarray(leaf, dtype), extras.stay)
    extras = Extras(_column(extras.starts), None if extras.starts is None else initial, noise, stay)
    return projected, *arrays, _column(mask), extras


def _column(flags: Array | None) -> Array | None:
    return None if flags is None else flags[..., None]

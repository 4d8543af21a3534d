"""The LSTM's recurrence with a hand-written backward pass."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rnnjax.layers.fused.derivatives import by_hand
from rnnjax.layers.fused.loops import (
    PLAIN,
    Array,
    Extras,
    add,
    arriving,
    bias_gradient,
    keep,
    kernel_gradient,
    operands,
    outputs_from,
    passing,
    scan,
    scan_replacing,
    with_carries,
)
from rnnjax.layers.ranks import at_rank_of


def lstm_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: tuple[Array, Array],
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
    carries: bool = False,
) -> tuple[tuple[Array, Array], Any]:
    """The recurrence of :class:`rnnjax.layers.cells.LSTMCell` over a sequence.

    Args:
      projected: ``[T, B, 4H]``, the cell's projected inputs in gate order i, f, g, o.
      recurrent_kernel: ``[H, 4H]``.
      carry: ``(c, h)`` before the first step, each ``[B, H]``.
      mask: ``[T, B]`` booleans, True at real steps, or None when every step is real.
      extras: resets, dropout and zoneout.
      bias: ``[4H]``, added to ``projected`` at every step; None when it already is in there.
      reverse: run from the last step to the first; outputs stay in the inputs' order.
      unroll: steps in one iteration of the compiled loops.
      carries: give ``(outputs, carries)`` in the place of the outputs, with the carry after each step, ``[T, B, H]``.

    Returns:
      ``((c, h), outputs)`` with outputs ``[T, B, H]``, all in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together or the mask is not boolean.
    """
    given = operands("lstm_sequence", 4, projected, recurrent_kernel, bias, tuple(carry), mask, extras)
    return _lstm(reverse, unroll, carries, *given)


class _Scales(NamedTuple):
    """sigmoid(z) = tanh(z / 2) / 2 + 1/2 for three gates and tanh for the other, ``[4H]``: one tanh tells all four.

    Attributes:
      inner: what the tanh is taken of is multiplied by it.
      outer, offset: the tanh is multiplied by the one, and the other is added.
    """

    inner: np.ndarray
    outer: np.ndarray
    offset: np.ndarray


def _scales(features: int, dtype: Any) -> _Scales:
    rows = ([0.5, 0.5, 1.0, 0.5], [0.5, 0.5, 1.0, 0.5], [0.5, 0.5, 0.0, 0.5])
    return _Scales(*(np.repeat(row, features).astype(dtype) for row in rows))


def _gates(tanh: Array, scales: _Scales) -> list[Array]:
    """The gates i, f, g and o."""
    return jnp.split(tanh * at_rank_of(scales.outer, tanh) + at_rank_of(scales.offset, tanh), 4, axis=-1)


def _step(projected, products, bias, cell, scales):
    """One step: the new cell and hidden state, and the tanh that tells all four gates."""
    sums = add(projected, products, bias)
    tanh = jnp.tanh(sums * at_rank_of(scales.inner, sums))
    i, f, g, o = _gates(tanh, scales)
    cell = f * cell + i * g
    return cell, o * jnp.tanh(cell), tanh


@by_hand(static=3)
def _lstm(reverse, unroll, carries, projected, recurrent_kernel, bias, carry, mask, extras):
    scales = _scales(recurrent_kernel.shape[0], projected.dtype)

    def step(carry, inputs):
        projected, real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        cell, hidden, _ = _step(projected, now.dropped(old[1]) @ recurrent_kernel, bias, old[0], scales)
        cell, hidden = now.mixed(old, (cell, hidden))
        cell, hidden = keep(real, cell, old[0]), keep(real, hidden, old[1])
        output = keep(real, hidden, 0)
        return (cell, hidden), (output, (cell, hidden)) if carries else output

    return scan(step, carry, (projected, mask, extras.each()), reverse, unroll)


def _forward(reverse, unroll, carries, projected, recurrent_kernel, bias, carry, mask, extras):
    scales = _scales(recurrent_kernel.shape[0], projected.dtype)

    def step(carry, projected, inputs):
        real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        cell, hidden, tanh = _step(projected, now.dropped(old[1]) @ recurrent_kernel, bias, old[0], scales)
        cell, hidden = now.mixed(old, (cell, hidden))
        carry = (keep(real, cell, old[0]), keep(real, hidden, old[1]))
        # Where a step can begin anew, the hidden state before the next one is not this one's output.
        output = None if now.starts is None else keep(real, hidden, 0)
        kept = carry if carries and now.starts is not None else None
        return carry, keep(real, tanh, 0), (*old, output, kept)

    last, gates, saved = scan_replacing(step, carry, projected, (mask, extras.each()), reverse, unroll)
    cells, before, outputs, kept = saved
    if outputs is None:
        outputs = outputs_from(before, last[1], mask, reverse)
    if carries:
        outputs = with_carries(outputs, kept, (cells, before), last, reverse)
    return (last, outputs), (recurrent_kernel, bias, mask, extras, cells, before, gates)


def _backward(reverse, unroll, carries, residuals, cotangents):
    recurrent_kernel, bias, mask, extras, cells, before, gates = residuals
    d_last, d_outputs = cotangents
    d_outputs, d_carries = d_outputs if carries else (d_outputs, None)
    # Before the loop: of few rows, XLA's CPU product is slow with what it has to transpose.
    transposed = recurrent_kernel.T
    scales = _scales(before.shape[-1], before.dtype)

    def step(state, tanh, inputs):
        real, now, d_output, old_cell, d_carry = inputs
        (d_cell, d_hidden), d_initial = arriving(state[0], d_carry), state[1]
        now = extras.at(now)
        i, f, g, o = _gates(tanh, scales)
        tanh_cell = jnp.tanh(f * old_cell + i * g)
        (kept_cell, kept_hidden), (d_cell, d_new) = now.mixed_backward((d_cell, d_hidden + keep(real, d_output, 0)))
        around = passing(real, kept_hidden, d_hidden)
        d_cell = d_cell + keep(real, d_new * o * (1 - tanh_cell * tanh_cell), 0)
        d_gates = jnp.concatenate([d_cell * g, d_cell * old_cell, d_cell * i, d_new * tanh_cell], axis=-1)
        slopes = (1 - tanh * tanh) * at_rank_of(scales.inner * scales.outer, tanh)
        d_projected = keep(real, d_gates * slopes, 0)
        d_hidden = add(now.dropped(d_projected @ transposed), around)
        state = now.begin_backward((add(d_cell * keep(real, f, 1), kept_cell), d_hidden), d_initial)
        return state, d_projected, None

    steps = (mask, extras.each(), d_outputs, cells, d_carries)
    state = (d_last, extras.no_initial())
    (d_carry, d_initial), d_projected, _ = scan_replacing(step, state, gates, steps, not reverse, unroll, ahead=True)
    d_kernel = kernel_gradient(extras.dropped(before), d_projected)
    d_extras = extras.backward(before, d_projected, recurrent_kernel, d_initial)
    return d_projected, d_kernel, bias_gradient(bias, d_projected), d_carry, None, d_extras


_lstm.defvjp(_forward, _backward)

"""Elman's recurrence with a hand-written backward pass."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.errors import UsageError
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

# Each activation's derivative, given its result.
SLOPES = {jnp.tanh: lambda result: 1 - result * result, nn.relu: lambda result: (result > 0).astype(result.dtype)}


def simple_rnn_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: Array,
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    activation: Callable[[Array], Array] = jnp.tanh,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
    carries: bool = False,
) -> tuple[Array, Any]:
    """The recurrence of :class:`rnnjax.layers.cells.SimpleRNNCell` over a sequence.

    Args:
      projected: ``[T, B, H]``, the cell's projected inputs.
      recurrent_kernel: ``[H, H]``.
      carry: ``h [B, H]`` before the first step.
      activation: ``jnp.tanh`` or ``nn.relu``.
      mask, extras, bias, reverse, unroll, carries: as in :func:`lstm_sequence`, with ``bias [H]``.

    Returns:
      ``(h, outputs)`` with outputs ``[T, B, H]``, both in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together, the mask is not boolean, or the activation is
        another one.
    """
    if activation not in SLOPES:
        raise UsageError(f"simple_rnn_sequence: activation must be jnp.tanh or nn.relu, got {activation}")
    given = operands("simple_rnn_sequence", 1, projected, recurrent_kernel, bias, carry, mask, extras)
    return _simple_rnn(activation, reverse, unroll, carries, *given)


@by_hand(static=4)
def _simple_rnn(activation, reverse, unroll, carries, projected, recurrent_kernel, bias, carry, mask, extras):
    def step(carry, inputs):
        projected, real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        hidden = now.mixed(old, activation(add(projected, now.dropped(old) @ recurrent_kernel, bias)))
        carry, output = keep(real, hidden, old), keep(real, hidden, 0)
        return carry, (output, carry) if carries else output

    return scan(step, carry, (projected, mask, extras.each()), reverse, unroll)


def _forward(activation, reverse, unroll, carries, projected, recurrent_kernel, bias, carry, mask, extras):
    def step(carry, projected, inputs):
        real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        hidden = activation(add(projected, now.dropped(old) @ recurrent_kernel, bias))
        slopes = keep(real, SLOPES[activation](hidden), 0)
        hidden = now.mixed(old, hidden)
        output = None if now.starts is None else keep(real, hidden, 0)
        carry = keep(real, hidden, old)
        return carry, slopes, (old, output, carry if carries and now.starts is not None else None)

    steps = (mask, extras.each())
    last, slopes, (before, outputs, kept) = scan_replacing(step, carry, projected, steps, reverse, unroll, ahead=True)
    if outputs is None:
        outputs = outputs_from(before, last, mask, reverse)
    if carries:
        outputs = with_carries(outputs, kept, before, last, reverse)
    return (last, outputs), (recurrent_kernel, bias, mask, extras, before, slopes)


def _backward(activation, reverse, unroll, carries, residuals, cotangents):
    recurrent_kernel, bias, mask, extras, before, slopes = residuals
    d_last, d_outputs = cotangents
    d_outputs, d_carries = d_outputs if carries else (d_outputs, None)
    # Before the loop: of few rows, XLA's CPU product is slow with what it has to transpose.
    transposed = recurrent_kernel.T

    def step(state, slopes, inputs):
        real, now, d_output, d_carry = inputs
        d_hidden, d_initial = arriving(state[0], d_carry), state[1]
        now = extras.at(now)
        kept, d_new = now.mixed_backward(d_hidden + keep(real, d_output, 0))
        around = passing(real, kept, d_hidden)
        d_projected = d_new * slopes
        d_old = add(now.dropped(d_projected @ transposed), around)
        return now.begin_backward(d_old, d_initial), d_projected, None

    steps = (mask, extras.each(), d_outputs, d_carries)
    state = (d_last, extras.no_initial())
    (d_carry, d_initial), d_projected, _ = scan_replacing(step, state, slopes, steps, not reverse, unroll)
    d_kernel = kernel_gradient(extras.dropped(before), d_projected)
    d_extras = extras.backward(before, d_projected, recurrent_kernel, d_initial)
    return d_projected, d_kernel, bias_gradient(bias, d_projected), d_carry, None, d_extras


_simple_rnn.defvjp(_forward, _backward)

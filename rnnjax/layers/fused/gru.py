"""The GRU's recurrence with a hand-written backward pass."""

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
    scan_ahead,
    scan_replacing,
    with_carries,
)


def gru_sequence(
    projected: Array,
    recurrent_kernel: Array,
    recurrent_bias: Array,
    carry: Array,
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
    carries: bool = False,
) -> tuple[Array, Any]:
    """The recurrence of :class:`rnnjax.layers.cells.GRUCell` over a sequence.

    Args:
      projected: ``[T, B, 3H]``, the cell's projected inputs in gate order r, z, n.
      recurrent_kernel: ``[H, 3H]``.
      recurrent_bias: ``[H]``, the candidate's bias under the reset gate.
      carry: ``h [B, H]`` before the first step.
      mask, extras, bias, reverse, unroll, carries: as in :func:`lstm_sequence`, with ``bias [3H]``.

    Returns:
      ``(h, outputs)`` with outputs ``[T, B, H]``, both in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together or the mask is not boolean.
    """
    given = operands("gru_sequence", 3, projected, recurrent_kernel, bias, carry, mask, extras)
    if recurrent_bias.shape != carry.shape[-1:]:
        raise UsageError(f"gru_sequence: recurrent_bias must have shape {carry.shape[-1:]}, got {recurrent_bias.shape}")
    return _gru(reverse, unroll, carries, recurrent_bias.astype(projected.dtype), *given)


def _step(projected, recurrent, recurrent_bias, bias, hidden):
    """One step: the new hidden state, and what its derivative is made of."""
    features = hidden.shape[-1]
    projected = add(projected, bias)
    r, z = jnp.split(nn.sigmoid(projected[:, : 2 * features] + recurrent[:, : 2 * features]), 2, axis=-1)
    inner = add(recurrent[:, 2 * features :], recurrent_bias)
    n = jnp.tanh(projected[:, 2 * features :] + r * inner)
    return n + z * (hidden - n), (r, z, n, inner)


@by_hand(static=3)
def _gru(reverse, unroll, carries, recurrent_bias, projected, recurrent_kernel, bias, carry, mask, extras):
    def step(carry, projected, inputs):
        real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        hidden, _ = _step(projected, now.dropped(old) @ recurrent_kernel, recurrent_bias, bias, old)
        hidden = now.mixed(old, hidden)
        carry, output = keep(real, hidden, old), keep(real, hidden, 0)
        return carry, (output, carry) if carries else output

    return scan_ahead(step, carry, projected, (mask, extras.each()), reverse, unroll)


def _forward(reverse, unroll, carries, recurrent_bias, projected, recurrent_kernel, bias, carry, mask, extras):
    def step(carry, projected, inputs):
        real, now = inputs
        now = extras.at(now)
        old = now.begin(carry)
        products = now.dropped(old) @ recurrent_kernel
        hidden, (r, z, n, inner) = _step(projected, products, recurrent_bias, bias, old)
        # d hidden / d projected; for the candidate, r is between that and the recurrent product.
        candidate = (1 - z) * (1 - n * n)
        slopes = jnp.concatenate([candidate * inner * r * (1 - r), (old - n) * z * (1 - z), candidate], axis=-1)
        hidden = now.mixed(old, hidden)
        output = None if now.starts is None else keep(real, hidden, 0)
        carry = keep(real, hidden, old)
        kept = carry if carries and now.starts is not None else None
        saved = (old, output, kept, keep(real, r, 0), keep(real, z, 1))
        return carry, keep(real, slopes, 0), saved

    last, slopes, saved = scan_replacing(step, carry, projected, (mask, extras.each()), reverse, unroll)
    before, outputs, kept, *saved = saved
    if outputs is None:
        outputs = outputs_from(before, last, mask, reverse)
    if carries:
        outputs = with_carries(outputs, kept, before, last, reverse)
    return (last, outputs), (recurrent_kernel, bias, mask, extras, before, slopes, *saved)


def _backward(reverse, unroll, carries, residuals, cotangents):
    recurrent_kernel, bias, mask, extras, before, slopes, reset, update = residuals
    d_last, d_outputs = cotangents
    d_outputs, d_carries = d_outputs if carries else (d_outputs, None)
    # Before the loop: of few rows, XLA's CPU product is slow with what it has to transpose.
    transposed = recurrent_kernel.T
    two_gates = 2 * before.shape[-1]

    def step(state, slopes, inputs):
        real, now, d_output, reset, update, d_carry = inputs
        d_hidden, d_initial = arriving(state[0], d_carry), state[1]
        now = extras.at(now)
        kept, d_hidden = now.mixed_backward(d_hidden + keep(real, d_output, 0))
        d_projected = jnp.concatenate([d_hidden, d_hidden, d_hidden], axis=-1) * slopes
        d_inner = d_projected[:, two_gates:] * reset
        d_products = jnp.concatenate([d_projected[:, :two_gates], d_inner], axis=-1)
        d_old = add(now.dropped(d_products @ transposed), d_hidden * update, kept)
        return now.begin_backward(d_old, d_initial), d_projected, d_inner

    steps = (mask, extras.each(), d_outputs, reset, update, d_carries)
    state = (d_last, extras.no_initial())
    (d_carry, d_initial), d_projected, d_inner = scan_replacing(
        step, state, slopes, steps, not reverse, unroll, ahead=True
    )
    # Of the first product only two gates' part is used; to leave the third out, the rows would have to be copied.
    met = extras.dropped(before)
    d_kernel = jnp.concatenate(
        [kernel_gradient(met, d_projected)[:, :two_gates], kernel_gradient(met, d_inner)], axis=-1
    )
    d_products = jnp.concatenate([d_projected[..., :two_gates], d_inner], axis=-1)  # Unused, but for noise.
    d_extras = extras.backward(before, d_products, recurrent_kernel, d_initial)
    return d_inner.sum((0, 1)), d_projected, d_kernel, bias_gradient(bias, d_projected), d_carry, None, d_extras


_gru.defvjp(_forward, _backward)

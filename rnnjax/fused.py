"""Whole recurrences with a hand-written backward pass: one ``custom_vjp`` around the scanned sequence.

Differentiating a scan step by step saves a dozen arrays a step, evaluates derivatives of the gates
in the backward loop, and adds to the kernel's gradient at every step. Here the forward pass saves
exactly the coefficients that the backward pass multiplies with; a backward step is one product with
the transposed kernel and a few multiplications, and the kernel's gradient is one product over all
T * B rows after the loop. The results are those of :mod:`rnnjax.cells` under :mod:`rnnjax.recurrence`.

The functions take *projected* inputs, which is what a cell's ``project`` makes, so that the input
kernel and the bias stay under ordinary differentiation and all implementations share one parameter
tree. A masked step leaves the carry as it is and its output is zero; its cotangents pass it likewise.

Axes: T time, B batch (exactly one axis), H hidden features.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnjax.errors import UsageError

Array = jax.Array


def lstm_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: tuple[Array, Array],
    mask: Array | None = None,
    *,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[tuple[Array, Array], Array]:
    """The recurrence of :class:`rnnjax.cells.LSTMCell` over a sequence.

    Args:
      projected: ``[T, B, 4H]``, the cell's projected inputs in gate order i, f, g, o.
      recurrent_kernel: ``[H, 4H]``.
      carry: ``(c, h)`` before the first step, each ``[B, H]``.
      mask: ``[T, B]`` booleans, True at real steps, or None when every step is real.
      reverse: run from the last step to the first; outputs stay in the inputs' order.
      unroll: steps in one iteration of the compiled loops.

    Returns:
      ``((c, h), outputs)`` with outputs ``[T, B, H]``, all in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together or the mask is not boolean.
    """
    cell, hidden = (leaf.astype(projected.dtype) for leaf in carry)
    recurrent_kernel = recurrent_kernel.astype(projected.dtype)
    _check("lstm_sequence", 4, projected, recurrent_kernel, (cell, hidden), mask)
    mask = None if mask is None else mask[..., None]
    return _lstm(reverse, unroll, projected, recurrent_kernel, cell, hidden, mask)


def _lstm_gates(projected: Array, recurrent_kernel: Array, cell: Array, hidden: Array):
    """One step: the new cell and hidden state, and what their derivatives are made of."""
    scale, offset = _lstm_scale(hidden.shape[-1], projected.dtype)
    # One tanh over all gates, as sigmoid(z) = tanh(z / 2) / 2 + 1/2.
    tanh = jnp.tanh((projected + hidden @ recurrent_kernel) * scale)
    i, f, g, o = jnp.split(tanh * scale + offset, 4, axis=-1)
    new_cell = f * cell + i * g
    tanh_cell = jnp.tanh(new_cell)
    return new_cell, o * tanh_cell, (tanh, i, f, g, o, tanh_cell)


def _lstm_scale(features: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    scale = np.repeat([0.5, 0.5, 1.0, 0.5], features).astype(dtype)
    return scale, np.repeat([0.5, 0.5, 0.0, 0.5], features).astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _lstm(reverse, unroll, projected, recurrent_kernel, cell, hidden, mask):
    def step(carry, inputs):
        projected, real = inputs
        cell, hidden, _ = _lstm_gates(projected, recurrent_kernel, *carry)
        cell, hidden = _keep(real, cell, carry[0]), _keep(real, hidden, carry[1])
        return (cell, hidden), _keep(real, hidden, 0)

    return lax.scan(step, (cell, hidden), (projected, mask), reverse=reverse, unroll=unroll)


def _lstm_forward(reverse, unroll, projected, recurrent_kernel, cell, hidden, mask):
    scale, _ = _lstm_scale(hidden.shape[-1], projected.dtype)

    def step(carry, inputs):
        old_cell, old_hidden, buffer = carry
        index, real = inputs
        cell, hidden, (tanh, i, f, g, o, tanh_cell) = _lstm_gates(
            lax.dynamic_index_in_dim(buffer, index, 0, keepdims=False), recurrent_kernel, old_cell, old_hidden
        )
        # d cell / d z for i, f and g, and d hidden / d z for o, with z what the kernels give.
        slopes = jnp.concatenate([g, old_cell, i, tanh_cell], axis=-1) * ((1 - tanh * tanh) * (scale * scale))
        # The slopes take the place of the projected inputs, which no later step needs.
        buffer = lax.dynamic_update_index_in_dim(buffer, _keep(real, slopes, 0), index, 0)
        cell_by_hidden = _keep(real, o * (1 - tanh_cell * tanh_cell), 0)
        cell, hidden = _keep(real, cell, old_cell), _keep(real, hidden, old_hidden)
        # Without a mask the outputs tell the previous hidden states; with one they have holes.
        previous = None if real is None else old_hidden
        return (cell, hidden, buffer), (_keep(real, hidden, 0), cell_by_hidden, _keep(real, f, 1), previous)

    steps = (jnp.arange(projected.shape[0]), mask)
    (last_cell, last_hidden, slopes), (outputs, cell_by_hidden, forget, previous) = lax.scan(
        step, (cell, hidden, projected), steps, reverse=reverse, unroll=unroll
    )
    if mask is None:
        previous = outputs
    residuals = (recurrent_kernel, hidden, mask, slopes, cell_by_hidden, forget, previous)
    return ((last_cell, last_hidden), outputs), residuals


def _lstm_backward(reverse, unroll, residuals, cotangents):
    recurrent_kernel, hidden, mask, slopes, cell_by_hidden, forget, previous = residuals
    (d_cell, d_hidden), d_outputs = cotangents

    def step(carry, inputs):
        d_cell, d_hidden, buffer = carry
        index, real, d_output, cell_by_hidden, forget = inputs
        passing = None if real is None else _keep(real, jnp.zeros_like(d_hidden), d_hidden)
        d_hidden = d_hidden + _keep(real, d_output, 0)
        d_cell = d_cell + d_hidden * cell_by_hidden
        slopes = lax.dynamic_index_in_dim(buffer, index, 0, keepdims=False)
        d_projected = jnp.concatenate([d_cell, d_cell, d_cell, d_hidden], axis=-1) * slopes
        d_hidden = d_projected @ recurrent_kernel.T
        if passing is not None:
            d_hidden = d_hidden + passing
        buffer = lax.dynamic_update_index_in_dim(buffer, d_projected, index, 0)
        return (d_cell * forget, d_hidden, buffer), None

    steps = (jnp.arange(slopes.shape[0]), mask, d_outputs, cell_by_hidden, forget)
    (d_cell, d_hidden, d_projected), _ = lax.scan(
        step, (d_cell, d_hidden, slopes), steps, reverse=not reverse, unroll=unroll
    )
    if mask is None:
        previous = _shift(hidden, previous, reverse)
    return d_projected, _kernel_gradient(previous, d_projected), d_cell, d_hidden, None


_lstm.defvjp(_lstm_forward, _lstm_backward)


def _keep(real: Array | None, new: Array, other: Array | float) -> Array:
    """``new`` at real steps and ``other`` at masked ones; selected, so that a NaN stays where it is."""
    return new if real is None else jnp.where(real, new, jnp.asarray(other, new.dtype))


def _shift(first: Array, states: Array, reverse: bool) -> Array:
    """What each step started from: ``states [T, B, H]`` one step later, and ``first`` before them."""
    if reverse:
        return jnp.concatenate([states, first[None]])[1:]
    return jnp.concatenate([first[None], states])[:-1]


def _kernel_gradient(states: Array, d_products: Array) -> Array:
    """The sum over T and B of outer products, as one product: ``[T, B, H], [T, B, Z] -> [H, Z]``."""
    rows, columns = (array.reshape(-1, array.shape[-1]) for array in (states, d_products))
    return rows.T @ columns


def _check(function: str, gates: int, projected, recurrent_kernel, carry, mask) -> None:
    if projected.ndim != 3 or projected.shape[-1] % gates:
        raise UsageError(f"{function}: projected must have shape [T, B, {gates} * H], got {projected.shape}")
    steps, batch, features = projected.shape[0], projected.shape[1], projected.shape[2] // gates
    if recurrent_kernel.shape != (features, gates * features):
        expected = (features, gates * features)
        raise UsageError(f"{function}: recurrent_kernel must have shape {expected}, got {recurrent_kernel.shape}")
    for leaf in carry:
        if leaf.shape != (batch, features):
            raise UsageError(f"{function}: the carry must have shape {(batch, features)}, got {leaf.shape}")
    if mask is not None and (mask.dtype != jnp.bool_ or mask.shape != (steps, batch)):
        raise UsageError(f"{function}: mask must be boolean of shape {(steps, batch)}, got {mask.dtype} {mask.shape}")

"""Whole recurrences with a hand-written backward pass: one ``custom_vjp`` around the scanned sequence.

Differentiating a scan step by step saves a dozen arrays a step, evaluates derivatives of the gates
in the backward loop, and adds to the kernel's gradient at every step. Here the forward pass saves
exactly the coefficients that the backward pass multiplies with; a backward step is one product with
the transposed kernel and a few multiplications, and the gradients of kernels and biases are single
sums over all T * B rows after the loop. Where nothing is differentiated, nothing is saved.
The coefficients overwrite the projected inputs, and the gradient overwrites the coefficients.
The results are those of :mod:`rnnjax.cells` under :mod:`rnnjax.recurrence`.

The functions take *projected* inputs, as a cell's ``project`` makes them, so that all
implementations share one parameter tree. Best hand over :func:`project` of the inputs, and the
input bias as ``bias``: added before the loop, it costs one more array of the projected inputs' size.
Where only the last hidden state counts, take it from the carry: that saves an array of gradients.

A masked step leaves the carry as it is and its output is zero; cotangents pass it likewise, and what
stands in its projected inputs, NaN included, reaches neither results nor gradients. Forward-mode
differentiation is not defined here, and JAX says so with a TypeError.

Axes: T time, B batch (exactly one axis), D input features, H hidden features.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnjax.errors import UsageError

Array = jax.Array

# Each activation's derivative, given its result.
_SLOPES = {jnp.tanh: lambda result: 1 - result * result, nn.relu: lambda result: (result > 0).astype(result.dtype)}


def lstm_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: tuple[Array, Array],
    mask: Array | None = None,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[tuple[Array, Array], Array]:
    """The recurrence of :class:`rnnjax.cells.LSTMCell` over a sequence.

    Args:
      projected: ``[T, B, 4H]``, the cell's projected inputs in gate order i, f, g, o.
      recurrent_kernel: ``[H, 4H]``.
      carry: ``(c, h)`` before the first step, each ``[B, H]``.
      mask: ``[T, B]`` booleans, True at real steps, or None when every step is real.
      bias: ``[4H]``, added to ``projected`` at every step; None when it already is in there.
      reverse: run from the last step to the first; outputs stay in the inputs' order.
      unroll: steps in one iteration of the compiled loops.

    Returns:
      ``((c, h), outputs)`` with outputs ``[T, B, H]``, all in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together or the mask is not boolean.
    """
    operands = _operands("lstm_sequence", 4, projected, recurrent_kernel, bias, tuple(carry), mask)
    return _lstm(reverse, unroll, *operands)


def gru_sequence(
    projected: Array,
    recurrent_kernel: Array,
    recurrent_bias: Array,
    carry: Array,
    mask: Array | None = None,
    *,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Array, Array]:
    """The recurrence of :class:`rnnjax.cells.GRUCell` over a sequence.

    Args:
      projected: ``[T, B, 3H]``, the cell's projected inputs in gate order r, z, n.
      recurrent_kernel: ``[H, 3H]``.
      recurrent_bias: ``[H]``, the candidate's bias under the reset gate.
      carry: ``h [B, H]`` before the first step.
      mask, bias, reverse, unroll: as in :func:`lstm_sequence`, with ``bias [3H]``.

    Returns:
      ``(h, outputs)`` with outputs ``[T, B, H]``, both in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together or the mask is not boolean.
    """
    operands = _operands("gru_sequence", 3, projected, recurrent_kernel, bias, carry, mask)
    if recurrent_bias.shape != carry.shape[-1:]:
        raise UsageError(f"gru_sequence: recurrent_bias must have shape {carry.shape[-1:]}, got {recurrent_bias.shape}")
    return _gru(reverse, unroll, recurrent_bias.astype(projected.dtype), *operands)


def simple_rnn_sequence(
    projected: Array,
    recurrent_kernel: Array,
    carry: Array,
    mask: Array | None = None,
    *,
    activation: Callable[[Array], Array] = jnp.tanh,
    bias: Array | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Array, Array]:
    """The recurrence of :class:`rnnjax.cells.SimpleRNNCell` over a sequence.

    Args:
      projected: ``[T, B, H]``, the cell's projected inputs.
      recurrent_kernel: ``[H, H]``.
      carry: ``h [B, H]`` before the first step.
      activation: ``jnp.tanh`` or ``nn.relu``.
      mask, bias, reverse, unroll: as in :func:`lstm_sequence`, with ``bias [H]``.

    Returns:
      ``(h, outputs)`` with outputs ``[T, B, H]``, both in ``projected``'s dtype.

    Raises:
      UsageError: if the shapes do not fit together, the mask is not boolean, or the activation is
        another one.
    """
    if activation not in _SLOPES:
        raise UsageError(f"simple_rnn_sequence: activation must be jnp.tanh or nn.relu, got {activation}")
    operands = _operands("simple_rnn_sequence", 1, projected, recurrent_kernel, bias, carry, mask)
    return _simple_rnn(activation, reverse, unroll, *operands)


@jax.custom_vjp
def project(inputs: Array, kernel: Array) -> Array:
    """``inputs @ kernel``: ``[..., D], [D, Z] -> [..., Z]``.

    The kernel's gradient is the product of two matrices with T * B rows; as JAX derives it, XLA
    first copies the larger one transposed.
    """
    return inputs @ kernel


def _project_forward(inputs, kernel):
    return inputs @ kernel, (inputs, kernel)


def _project_backward(residuals, d_projected):
    inputs, kernel = residuals
    return d_projected @ kernel.T, _kernel_gradient(inputs, d_projected)


project.defvjp(_project_forward, _project_backward)


def _lstm_step(projected, recurrent_kernel, bias, cell, hidden):
    """One step: the new cell and hidden state, and what their derivatives are made of."""
    scale, offset = _lstm_scale(hidden.shape[-1], projected.dtype)
    # One tanh over all gates, as sigmoid(z) = tanh(z / 2) / 2 + 1/2.
    tanh = jnp.tanh(_sum(projected, hidden @ recurrent_kernel, bias) * scale)
    i, f, g, o = jnp.split(tanh * scale + offset, 4, axis=-1)
    new_cell = f * cell + i * g
    tanh_cell = jnp.tanh(new_cell)
    return new_cell, o * tanh_cell, (tanh, i, f, g, o, tanh_cell)


def _lstm_scale(features: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    scale = np.repeat([0.5, 0.5, 1.0, 0.5], features).astype(dtype)
    return scale, np.repeat([0.5, 0.5, 0.0, 0.5], features).astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _lstm(reverse, unroll, projected, recurrent_kernel, bias, carry, mask):
    def step(carry, inputs):
        projected, real = inputs
        cell, hidden, _ = _lstm_step(projected, recurrent_kernel, bias, *carry)
        cell, hidden = _keep(real, cell, carry[0]), _keep(real, hidden, carry[1])
        return (cell, hidden), _keep(real, hidden, 0)

    return _scan(step, carry, (projected, mask), reverse, unroll)


def _lstm_forward(reverse, unroll, projected, recurrent_kernel, bias, carry, mask):
    scale, _ = _lstm_scale(carry[1].shape[-1], projected.dtype)

    def step(old, projected, real):
        cell, hidden, (tanh, i, f, g, o, tanh_cell) = _lstm_step(projected, recurrent_kernel, bias, *old)
        # d cell / d z for i, f and g, and d hidden / d z for o, with z what the tanh is taken of.
        slopes = jnp.concatenate([g, old[0], i, tanh_cell], axis=-1) * ((1 - tanh * tanh) * (scale * scale))
        cell_by_hidden = _keep(real, o * (1 - tanh_cell * tanh_cell), 0)
        saved = (old[1], cell_by_hidden, _keep(real, f, 1))
        carry = (_keep(real, cell, old[0]), _keep(real, hidden, old[1]))
        return carry, _keep(real, slopes, 0), saved

    last, slopes, (before, *saved) = _scan_replacing(step, carry, projected, mask, reverse, unroll)
    outputs = _outputs(before, last[1], mask, reverse)
    return (last, outputs), (recurrent_kernel, bias, mask, before, slopes, *saved)


def _lstm_backward(reverse, unroll, residuals, cotangents):
    recurrent_kernel, bias, mask, before, slopes, cell_by_hidden, forget = residuals
    d_last, d_outputs = cotangents

    def step(d_carry, slopes, inputs):
        d_cell, d_hidden = d_carry
        real, d_output, cell_by_hidden, forget = inputs
        passing = None if real is None else _keep(real, jnp.zeros_like(d_hidden), d_hidden)
        d_hidden = d_hidden + _keep(real, d_output, 0)
        d_cell = d_cell + d_hidden * cell_by_hidden
        d_projected = jnp.concatenate([d_cell, d_cell, d_cell, d_hidden], axis=-1) * slopes
        d_hidden = _sum(d_projected @ recurrent_kernel.T, passing)
        return (d_cell * forget, d_hidden), d_projected, None

    steps = (mask, d_outputs, cell_by_hidden, forget)
    d_carry, d_projected, _ = _scan_replacing(step, d_last, slopes, steps, not reverse, unroll)
    return d_projected, _kernel_gradient(before, d_projected), _bias_gradient(bias, d_projected), d_carry, None


_lstm.defvjp(_lstm_forward, _lstm_backward)


def _gru_step(projected, recurrent_kernel, recurrent_bias, bias, hidden):
    """One step: the new hidden state, and what its derivative is made of."""
    features = hidden.shape[-1]
    recurrent = hidden @ recurrent_kernel
    projected = _sum(projected, bias)
    r, z = jnp.split(nn.sigmoid(projected[:, : 2 * features] + recurrent[:, : 2 * features]), 2, axis=-1)
    inner = recurrent[:, 2 * features :] + recurrent_bias
    n = jnp.tanh(projected[:, 2 * features :] + r * inner)
    return n + z * (hidden - n), (r, z, n, inner)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gru(reverse, unroll, recurrent_bias, projected, recurrent_kernel, bias, carry, mask):
    def step(carry, inputs):
        projected, real = inputs
        hidden, _ = _gru_step(projected, recurrent_kernel, recurrent_bias, bias, carry)
        return _keep(real, hidden, carry), _keep(real, hidden, 0)

    return _scan(step, carry, (projected, mask), reverse, unroll)


def _gru_forward(reverse, unroll, recurrent_bias, projected, recurrent_kernel, bias, carry, mask):
    def step(old, projected, real):
        hidden, (r, z, n, inner) = _gru_step(projected, recurrent_kernel, recurrent_bias, bias, old)
        # d hidden / d (old @ recurrent_kernel); for the candidate, r is between that and the inputs' side.
        candidate = (1 - z) * (1 - n * n)
        slopes = jnp.concatenate([candidate * inner * r * (1 - r), (old - n) * z * (1 - z), candidate * r], axis=-1)
        saved = (old, _keep(real, candidate, 0), _keep(real, z, 1))
        return _keep(real, hidden, old), _keep(real, slopes, 0), saved

    last, slopes, (before, *saved) = _scan_replacing(step, carry, projected, mask, reverse, unroll)
    return (last, _outputs(before, last, mask, reverse)), (recurrent_kernel, bias, mask, before, slopes, *saved)


def _gru_backward(reverse, unroll, residuals, cotangents):
    recurrent_kernel, bias, mask, before, slopes, candidate, update = residuals
    d_last, d_outputs = cotangents

    def step(d_hidden, slopes, inputs):
        real, d_output, candidate, update = inputs
        d_hidden = d_hidden + _keep(real, d_output, 0)
        d_recurrent = jnp.concatenate([d_hidden, d_hidden, d_hidden], axis=-1) * slopes
        return d_recurrent @ recurrent_kernel.T + d_hidden * update, d_recurrent, d_hidden * candidate

    steps = (mask, d_outputs, candidate, update)
    d_carry, d_recurrent, d_candidate = _scan_replacing(step, d_last, slopes, steps, not reverse, unroll)
    d_gates, d_inner = jnp.split(d_recurrent, [2 * before.shape[-1]], axis=-1)
    d_projected = jnp.concatenate([d_gates, d_candidate], axis=-1)
    d_bias = _bias_gradient(bias, d_projected)
    return d_inner.sum((0, 1)), d_projected, _kernel_gradient(before, d_recurrent), d_bias, d_carry, None


_gru.defvjp(_gru_forward, _gru_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _simple_rnn(activation, reverse, unroll, projected, recurrent_kernel, bias, carry, mask):
    def step(old, inputs):
        projected, real = inputs
        hidden = activation(_sum(projected, old @ recurrent_kernel, bias))
        return _keep(real, hidden, old), _keep(real, hidden, 0)

    return _scan(step, carry, (projected, mask), reverse, unroll)


def _simple_rnn_forward(activation, reverse, unroll, projected, recurrent_kernel, bias, carry, mask):
    def step(old, projected, real):
        hidden = activation(_sum(projected, old @ recurrent_kernel, bias))
        return _keep(real, hidden, old), _keep(real, _SLOPES[activation](hidden), 0), old

    last, slopes, before = _scan_replacing(step, carry, projected, mask, reverse, unroll, ahead=True)
    return (last, _outputs(before, last, mask, reverse)), (recurrent_kernel, bias, mask, before, slopes)


def _simple_rnn_backward(activation, reverse, unroll, residuals, cotangents):
    recurrent_kernel, bias, mask, before, slopes = residuals
    d_last, d_outputs = cotangents

    def step(d_hidden, slopes, inputs):
        real, d_output = inputs
        passing = None if real is None else _keep(real, jnp.zeros_like(d_hidden), d_hidden)
        d_projected = (d_hidden + _keep(real, d_output, 0)) * slopes
        return _sum(d_projected @ recurrent_kernel.T, passing), d_projected, None

    d_carry, d_projected, _ = _scan_replacing(step, d_last, slopes, (mask, d_outputs), not reverse, unroll)
    return d_projected, _kernel_gradient(before, d_projected), _bias_gradient(bias, d_projected), d_carry, None


_simple_rnn.defvjp(_simple_rnn_forward, _simple_rnn_backward)


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


def _scan(step, carry, steps, reverse, unroll) -> Any:
    return _Loop(step=step, reverse=reverse, unroll=unroll, parent=None).apply({}, carry, steps)


def _scan_replacing(step, carry, rows, steps, reverse, unroll, ahead=False) -> tuple[Any, Any, Any]:
    """Scans ``step(carry, row, inputs) -> (carry, row, saved)``, whose new rows take the old ones' place.

    XLA keeps to the place only if all reads of the array come before its write; where it cannot tell,
    it copies the whole array at every step. On a CPU it can tell if
    the new row is an operand of a product of matrices, or needs a tanh. Elsewhere, and with B = 1,
    whose product is one of vectors, the loop reads ahead, from what it has just written, which
    moves each row once more.
    """

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
        row = lax.dynamic_index_in_dim(rows, index - 1 if reverse else index + 1, 0, keepdims=False)
        return ((carry, row), rows), saved

    def apart(carry, inputs):
        carry, row, saved = step(carry, *inputs)
        return carry, (row, saved)

    indexed = (jnp.arange(rows.shape[0]), steps)
    if rows.shape[0] == 0:  # There is no row to index, not even while tracing.
        carry, (rows, saved) = _scan(apart, carry, (rows, steps), reverse, unroll)
    elif ahead or rows.shape[1] == 1:
        first = rows[-1] if reverse else rows[0]
        ((carry, _), rows), saved = _scan(reading_ahead, ((carry, first), rows), indexed, reverse, unroll)
    else:
        (carry, rows), saved = _scan(in_place, (carry, rows), indexed, reverse, unroll)
    return carry, rows, saved


def _sum(*terms: Array | None) -> Array:
    """The sum of the terms that are there."""
    return functools.reduce(jnp.add, [term for term in terms if term is not None])


def _keep(real: Array | None, new: Array, other: Array | float) -> Array:
    """``new`` at real steps and ``other`` at masked ones; selected, so that a NaN stays where it is."""
    return new if real is None else jnp.where(real, new, jnp.asarray(other, new.dtype))


def _outputs(before: Array, last: Array, mask: Array | None, reverse: bool) -> Array:
    """The outputs, told by the hidden state ``before [T, B, H]`` each step and the ``last [B, H]`` one."""
    after = jnp.concatenate([last[None], before])[:-1] if reverse else jnp.concatenate([before, last[None]])[1:]
    return _keep(mask, after, 0)


def _kernel_gradient(rows: Array, d_products: Array) -> Array:
    """The sum of outer products over all leading axes, as one product: ``[..., D], [..., Z] -> [D, Z]``."""
    rows, columns = (array.reshape(-1, array.shape[-1]) for array in (rows, d_products))
    return rows.T @ columns


def _bias_gradient(bias: Array | None, d_projected: Array) -> Array | None:
    return None if bias is None else d_projected.sum((0, 1))


def _operands(function: str, gates: int, projected, recurrent_kernel, bias, carry, mask):
    """The arrays in ``projected``'s dtype and the mask as ``[T, B, 1]``, after checking every shape."""
    if projected.ndim != 3 or projected.shape[-1] % gates:
        raise UsageError(f"{function}: projected must have shape [T, B, {gates} * H], got {projected.shape}")
    steps, batch, width = projected.shape
    features = width // gates
    named = [("recurrent_kernel", recurrent_kernel, (features, width))]
    named += [("carry", leaf, (batch, features)) for leaf in jax.tree.leaves(carry)]
    named += [] if bias is None else [("bias", bias, (width,))]
    for name, array, shape in named:
        if array.shape != shape:
            raise UsageError(f"{function}: {name} must have shape {shape}, got {array.shape}")
    if mask is not None and (mask.dtype != jnp.bool_ or mask.shape != (steps, batch)):
        raise UsageError(f"{function}: mask must be boolean of shape {(steps, batch)}, got {mask.dtype} {mask.shape}")
    arrays = jax.tree.map(lambda array: array.astype(projected.dtype), (recurrent_kernel, bias, carry))
    return projected, *arrays, None if mask is None else mask[..., None]

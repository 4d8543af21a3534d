"""cuDNN's LSTM, through ``jax.experimental.rnn``, on our parameters.

It computes in float32 on an NVIDIA GPU. Its products may use TF32, which has 10 bits of mantissa, unless
``jax.default_matmul_precision("highest")`` is set. It knows lengths but no other masks, runs forwards,
and has first derivatives in reverse mode alone, without ``vmap``.

Axes: B batch (exactly one axis), T time, D input features, H hidden features.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from rnnjax.layers import target

Array = jax.Array


def obstacle() -> str | None:
    """Why cuDNN cannot run in this process, or None where it can."""
    backend = target.platform()
    if backend == "gpu":
        return None
    return f"cuDNN needs an NVIDIA GPU and JAX's CUDA wheels (pip install -e '.[cuda13]'), and JAX runs on {backend}"


def lstm_sequence(
    inputs: Array,
    input_kernel: Array,
    recurrent_kernel: Array,
    bias: Array,
    carry: tuple[Array, Array],
    lengths: Array | None = None,
    *,
    reverse: bool = False,
    lstm: Any = rnn.lstm,
) -> tuple[tuple[Array, Array], Array]:
    """The recurrence of :class:`rnnjax.layers.cells.LSTMCell` over a sequence of at least one step.

    Args:
      inputs: ``[B, T, D]``, finite at padded steps as well.
      input_kernel: ``[D, 4H]`` in gate order i, f, g, o.
      recurrent_kernel: ``[H, 4H]``.
      bias: ``[4H]``.
      carry: ``(c, h)`` before the first step, each ``[B, H]``.
      lengths: ``[B]`` integers in 0..T, or None when every step is real.
      reverse: run from each row's last real step to its first; outputs stay in the inputs' order.
      lstm: a function like ``jax.experimental.rnn.lstm``, called with positional arguments.

    Returns:
      ``((c, h), outputs)`` with outputs ``[B, T, H]``, zero at padded steps.
    """
    batch, steps, width = inputs.shape
    places = jnp.arange(steps)
    counts = jnp.full(batch, steps, jnp.int32) if lengths is None else lengths.astype(jnp.int32)
    real = (places < counts[:, None])[..., None]
    # Reversed within each row's length; its own inverse.
    order = jnp.where(real, counts[:, None, None] - 1 - places[:, None], places[:, None])
    if reverse:
        inputs = jnp.take_along_axis(inputs, order, axis=1)
    cell, hidden = carry
    weights = pack(input_kernel, recurrent_kernel, bias)
    # cuDNN refuses rows without steps: they run one, of which nothing is used.
    shape = (width, recurrent_kernel.shape[0], 1, 0.0, False)
    outputs, last_hidden, last_cell = lstm(inputs, hidden[None], cell[None], weights, jnp.maximum(counts, 1), *shape)
    if lengths is not None:
        outputs = jnp.where(real, outputs, 0)
    if reverse:
        outputs = jnp.take_along_axis(outputs, order, axis=1)
    some = counts[:, None] > 0
    return (jnp.where(some, last_cell[0], cell), jnp.where(some, last_hidden[0], hidden)), outputs


def pack(input_kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """The flat vector of cuDNN's weights: both kernels transposed, then two biases, of which ours is the sum."""
    parts = [input_kernel.T, recurrent_kernel.T, bias, jnp.zeros_like(bias)]
    return jnp.concatenate([part.ravel() for part in parts])

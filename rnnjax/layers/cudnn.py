"""cuDNN's LSTM, through ``jax.experimental.rnn``, on our parameters.

It computes in float32 on an NVIDIA GPU. Its products may use TF32, which has 10 bits of mantissa, unless
``jax.default_matmul_precision("highest")`` is set. It knows lengths but no other masks, runs forwards,
and has first derivatives in reverse mode alone, without ``vmap``. There, in forward mode and for second derivatives the
fused recurrence runs in its place, of which nobody can know before: a function may be traced first and mapped later.

Axes: B batch (exactly one axis), T time, D input features, H hidden features.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from rnnjax.layers import fused, target
from rnnjax.layers.either import either
from rnnjax.layers.fused.derivatives import by_hand, only, varying_alike

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
    batch, steps, _ = inputs.shape
    counts = jnp.full(batch, steps, jnp.int32) if lengths is None else lengths.astype(jnp.int32)
    program = _Program(lstm, lengths is not None, reverse)
    return _sequence(program, inputs, input_kernel, recurrent_kernel, bias, tuple(carry), counts)


class _Program(NamedTuple):
    """What is the same for all operands; ``padded``: whether counts are other than T."""

    lstm: Any
    padded: bool
    reverse: bool


@by_hand(static=1)
def _sequence(program: _Program, *operands: Any) -> Any:
    """``((c, h), outputs)`` of ``inputs, input_kernel, recurrent_kernel, bias, carry, counts``."""
    return either(functools.partial(_by_cudnn, program), functools.partial(_fused, program), *operands)


def _forward(program: _Program, *operands: Any) -> Any:
    *floats, counts = operands
    run = functools.partial(_by_cudnn, program)
    plain = functools.partial(_fused, program)

    def first(counts, *floats):
        return jax.vjp(lambda *floats: run(*floats, counts), *floats)

    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (counts, *floats))
    saved = jax.eval_shape(first, *like)[1]

    def other(counts, *floats):
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), saved)
        # Inside jax.shard_map each device saves its own.
        return plain(*floats, counts), varying_alike((nothing, floats))[0]

    made, pull = either(first, other, counts, *floats)
    return made, (operands, pull)


def _backward(program: _Program, residuals: Any, cotangents: Any) -> tuple[Any, ...]:
    operands, pull = residuals
    run = functools.partial(_fused, program)

    def first(operands, pull, cotangents):
        del operands
        return pull(cotangents)

    def other(operands, pull, cotangents):
        del pull  # mapped, the forward pass has saved none
        *floats, counts = operands
        with only("reverse"):
            return jax.vjp(lambda *floats: run(*floats, counts), *floats)[1](cotangents)

    return *either(first, other, operands, pull, cotangents), None


_sequence.defvjp(_forward, _backward)


def _fused(program: _Program, *operands: Any) -> Any:
    inputs, input_kernel, recurrent_kernel, bias, carry, counts = operands
    mask = (jnp.arange(inputs.shape[1]) < counts[:, None]).T if program.padded else None
    options = {"bias": bias, "reverse": program.reverse}
    last, outputs = fused.run(
        fused.lstm_sequence, jnp.swapaxes(inputs, 0, 1), input_kernel, [recurrent_kernel], carry, mask, **options
    )
    return last, jnp.swapaxes(outputs, 0, 1)


def _by_cudnn(program: _Program, *operands: Any) -> Any:
    inputs, input_kernel, recurrent_kernel, bias, carry, counts = operands
    _, steps, width = inputs.shape
    places = jnp.arange(steps)
    real = (places < counts[:, None])[..., None]
    # Reversed within each row's length; its own inverse.
    order = jnp.where(real, counts[:, None, None] - 1 - places[:, None], places[:, None])
    if program.reverse:
        inputs = jnp.take_along_axis(inputs, order, axis=1)
    cell, hidden = carry
    weights = pack(input_kernel, recurrent_kernel, bias)
    # cuDNN refuses rows without steps: they run one, of which nothing is used.
    shape = (width, recurrent_kernel.shape[0], 1, 0.0, False)
    outputs, last_hidden, last_cell = program.lstm(
        inputs, hidden[None], cell[None], weights, jnp.maximum(counts, 1), *shape
    )
    if program.padded:
        outputs = jnp.where(real, outputs, 0)
    if program.reverse:
        outputs = jnp.take_along_axis(outputs, order, axis=1)
    some = counts[:, None] > 0
    return (jnp.where(some, last_cell[0], cell), jnp.where(some, last_hidden[0], hidden)), outputs


def pack(input_kernel: Array, recurrent_kernel: Array, bias: Array) -> Array:
    """The flat vector of cuDNN's weights: both kernels transposed, then two biases, of which ours is the sum."""
    parts = [input_kernel.T, recurrent_kernel.T, bias, jnp.zeros_like(bias)]
    return jnp.concatenate([part.ravel() for part in parts])

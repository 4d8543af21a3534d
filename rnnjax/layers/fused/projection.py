"""The product of all inputs with their kernel, and the recurrence over it, at once or a chunk at a time."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.layers import meshes, target
from rnnjax.layers.fused.derivatives import by_hand, only
from rnnjax.layers.fused.loops import PLAIN, Array, Extras, kernel_gradient, scan

ROWS = 1024  # T * B of one chunk's product: enough to keep it efficient.


def project(inputs: Array, kernel: Array) -> Array:
    """``inputs @ kernel``: ``[..., D], [D, Z] -> [..., Z]``.

    The kernel's gradient is the product of two matrices with T * B rows; as JAX derives it, XLA
    first copies the larger one transposed.
    """
    return _project(inputs, kernel)


@by_hand(static=0)
def _project(inputs: Array, kernel: Array) -> Array:
    return inputs @ kernel


def _project_forward(inputs, kernel):
    return inputs @ kernel, (inputs, kernel)


def _project_backward(residuals, d_projected):
    inputs, kernel = residuals
    return d_projected @ kernel.T, kernel_gradient(inputs, d_projected)


_project.defvjp(_project_forward, _project_backward)


def run(
    sequence: Callable[..., tuple[Any, Array]],
    inputs: Array,
    kernel: Array,
    parameters: Sequence[Array],
    carry: Any,
    mask: Array | None = None,
    extras: Extras = PLAIN,
    *,
    bias: Array | None = None,
    **options: Any,
) -> tuple[Any, Array]:
    """``sequence`` over the projected inputs; where nothing is differentiated, a chunk of steps at a time on a CPU.

    All projected inputs at once are four times the size of an LSTM's outputs. A chunk's stay in the cache; for
    gradients they are kept anyway.

    Args:
      sequence: :func:`~rnnjax.layers.fused.lstm_sequence` or one of its kind.
      inputs: ``[T, B, D]``.
      kernel: ``[D, Z]``.
      parameters: what ``sequence`` takes between projected inputs and carry: kernels and biases of the recurrence.
      carry, mask, extras, bias: as ``sequence`` takes them.
      options: its others, hashable.

    Returns:
      ``(carry, outputs [T, B, H])``, the outputs as ``sequence`` has them.

    Raises:
      UsageError: as ``sequence``.
    """
    operands = (inputs, kernel, tuple(parameters), bias, carry, mask, extras)
    return meshes.automatically(functools.partial(_run, sequence, tuple(options.items())), *operands)


def _whole(sequence, options, inputs, kernel, parameters, bias, carry, mask, extras):
    return sequence(project(inputs, kernel), *parameters, carry, mask, extras, bias=bias, **dict(options))


@by_hand(static=2)
def _run(sequence, options, inputs, kernel, parameters, bias, carry, mask, extras):
    call = functools.partial(_whole, sequence, options)
    size = _chunk(*inputs.shape[:2])
    noises = jax.tree.leaves((extras.noise, extras.stay))
    if size is None or any(jnp.ndim(leaf) == 3 for leaf in noises):
        return call(inputs, kernel, parameters, bias, carry, mask, extras)
    if extras.starts is not None and extras.initial is None:
        extras = extras._replace(initial=carry)

    def part(carry, steps):
        inputs, mask, starts = steps
        return call(inputs, kernel, parameters, bias, carry, mask, extras._replace(starts=starts))

    reverse = dict(options).get("reverse", False)
    steps = (inputs, mask, extras.starts)
    joined = lambda chunks: chunks.reshape(-1, *chunks.shape[2:])  # noqa: E731
    full = inputs.shape[0] // size * size
    rest = jax.tree.map(lambda leaf: leaf[full:], steps)
    chunks = jax.tree.map(lambda leaf: leaf[:full].reshape(-1, size, *leaf.shape[1:]), steps)
    if full == inputs.shape[0]:
        carry, outputs = scan(part, carry, chunks, reverse, 1)
        return carry, jax.tree.map(joined, outputs)
    if reverse:
        carry, last = part(carry, rest)
    carry, outputs = scan(part, carry, chunks, reverse, 1)
    if not reverse:
        carry, last = part(carry, rest)
    return carry, jax.tree.map(lambda chunks, rest: jnp.concatenate([joined(chunks), rest]), outputs, last)


def _chunk(steps: int, batch: int) -> int | None:
    """Steps a chunk, with few left over; None where all are taken at once.

    As they are of an empty batch, and of one whose sizes are free (``jax.export`` with symbolic shapes).
    """
    if not (isinstance(steps, int) and isinstance(batch, int)) or not batch:
        return None
    most = ROWS // batch
    if target.platform() != "cpu" or most < 2 or steps < 2 * most:
        return None
    return min(range(most, most // 2, -1), key=lambda size: steps % size)


def _run_forward(sequence, options, *operands):
    with only("reverse"):  # forward mode is that of this function, not of those in it
        return jax.vjp(functools.partial(_whole, sequence, options), *operands)


def _run_backward(sequence, options, vjp, cotangents):
    return vjp(cotangents)


_run.defvjp(_run_forward, _run_backward)

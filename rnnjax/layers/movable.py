"""What adversarial training may move: a model says it here, :mod:`rnnjax.training.adversarial` finds out where to."""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

COLLECTION = "perturbations"
"""Flax's collection of what is added to movable values."""


def movable(module: nn.Module, name: str, values: Array, mask: Array | None = None) -> Array:
    """The values, moved if the call's variables hold a perturbation of this name.

    Args:
      module: which calls this, bound.
      name: of the perturbation.
      values: ``[B, ...]``; a perturbation has the same shape, in units of each example's own Euclidean norm.
      mask: ``[B, ...]``, False where values are padding, which counts in no norm; None: all are real.

    Returns:
      ``[B, ...]``: without a perturbation the values themselves.
    """
    asked = module.has_variable(COLLECTION, name) or module.is_mutable_collection(COLLECTION)
    if not asked or module.is_initializing():
        return values
    size = jax.lax.stop_gradient(norm_of_each(values if mask is None else jnp.where(mask, values, 0)))
    return values + (size * module.perturb(name, jnp.zeros(values.shape, size.dtype))).astype(values.dtype)


def norm_of_each(values: Array) -> Array:
    """Of each example, float32, in a shape that multiplies with the values'."""
    squares = jnp.square(values.astype(jnp.promote_types(values.dtype, jnp.float32)))
    return jnp.sqrt(squares.sum(tuple(range(1, values.ndim)), keepdims=True))

"""Meshes with Explicit axes, on which JAX wants to know of every array how it lies, and derives it for few operations.

On such a mesh (as ``jax.make_mesh`` makes them) a recurrence lies as its inputs do: batch axes as theirs, features on
all devices. Weights may lie as they like: XLA derives where a fused recurrence needs them, and a loop over a cell's own
step, of which JAX would have to derive it, has them whole on all devices. Their gradients lie as they do. Axes of other
kinds, and arrays that lie on no mesh, are left alone.

Axes: B batch (any number of axes), T time, D input features, H hidden features.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Array = jax.Array


def explicit(array: Array) -> bool:
    """Whether an array lies on a mesh that has Explicit axes."""
    return AxisType.Explicit in jax.typeof(array).sharding.mesh.axis_types


def laid_as(carry: Array, inputs: Array) -> Array:
    """A carry ``[..., *]`` whose batch axes lie as those of ``inputs [..., T, D]``: what a scan makes of it."""
    if not explicit(inputs):
        return carry
    sharding = jax.typeof(inputs).sharding
    batch = sharding.spec[: min(inputs.ndim - 2, carry.ndim)]
    spec = PartitionSpec(*batch, *[None] * (carry.ndim - len(batch)))
    return jax.sharding.reshard(_onto(sharding.mesh, carry), NamedSharding(sharding.mesh, spec))


def with_whole_weights(run: Callable[..., Any]) -> Callable[..., Any]:
    """``run(cell, ...)``, in which a cell's parameters that are spread over Explicit axes are whole on all devices."""

    def running(cell: nn.Module, *operands: Any) -> Any:
        leaves = jax.tree.leaves(cell.variables.get("params", {}))
        if cell.is_initializing() or not any(_is_spread(leaf) for leaf in leaves):
            return run(cell, *operands)
        return nn.map_variables(run, "params", lambda tree: jax.tree.map(_whole, tree))(cell, *operands)

    return running


def _onto(mesh: Any, leaf: Any) -> Any:
    """An array that lies on no mesh, whole on all devices of this one; any other as it is.

    By a product with one: ``reshard`` would bring the cotangent back to no mesh, which ``jax.vmap`` over an axis of the
    mesh cannot do.
    """
    if not jax.typeof(leaf).sharding.mesh.empty or not jnp.issubdtype(jax.typeof(leaf).dtype, jnp.inexact):
        return leaf
    whole = NamedSharding(mesh, PartitionSpec(*[None] * jnp.ndim(leaf)))
    return leaf * jax.sharding.reshard(jnp.ones(jnp.shape(leaf), jax.typeof(leaf).dtype), whole)


def _is_spread(leaf: Any) -> bool:
    return explicit(leaf) and any(axis is not None for axis in jax.typeof(leaf).sharding.spec)


def _whole(leaf: Array) -> Array:
    if not _is_spread(leaf):
        return leaf
    mesh = jax.typeof(leaf).sharding.mesh
    return jax.sharding.reshard(leaf, NamedSharding(mesh, PartitionSpec(*[None] * leaf.ndim)))


def automatically(function: Callable[..., Any], inputs: Array, *operands: Any) -> Any:
    """``function(inputs, *operands)``, in which XLA derives how arrays lie.

    Args:
      function: gives ``(carry, outputs)``, leaves ``[B, H]`` and ``[T, B, H]``.
      inputs: ``[T, B, D]``.
      operands: all other arrays that it uses.
    """
    if not explicit(inputs):
        return function(inputs, *operands)
    sharding = jax.typeof(inputs).sharding
    operands = jax.tree.map(lambda leaf: _onto(sharding.mesh, leaf), operands)
    time, *batch = sharding.spec[:-1]
    lies = lambda *axes: NamedSharding(sharding.mesh, PartitionSpec(*axes, None))  # noqa: E731
    # reshard takes one sharding for a whole tree of equal ranks
    return jax.sharding.auto_axes(function, out_sharding=(lies(*batch), lies(time, *batch)))(inputs, *operands)

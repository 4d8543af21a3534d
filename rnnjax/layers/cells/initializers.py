"""Initialisers that recurrences ask for: identity, chrono, and one block per gate."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError

Array = jax.Array
Initializer = Callable[..., Any]


def identity(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Identity initialiser for a square recurrent kernel (IRNN; Le et al. 2015, arXiv:1504.00941)."""
    del key
    return jnp.eye(shape[0], shape[1], dtype=dtype)


def chrono(steps: int) -> Initializer:
    """Initialiser of forget-gate biases for memories of up to ``steps`` steps.

    Draws ``log(U(1, steps - 1))`` (Tallec and Ollivier 2018, arXiv:1804.11188); the
    input gate's bias is the negative of it.

    Raises:
      UsageError: if ``steps`` is below 3, where the interval is empty.
    """
    if steps < 3:
        raise UsageError(f"chrono initialisation needs at least 3 steps, got {steps}")

    def forget(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        return jnp.log(jax.random.uniform(key, shape, dtype, 1, steps - 1))

    return forget


def glorot(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """``nn.initializers.glorot_uniform()`` (Glorot and Bengio 2010), as a function that can be pickled."""
    return _GLOROT(key, shape, dtype)


def orthogonal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """``nn.initializers.orthogonal()`` (Saxe et al. 2013, arXiv:1312.6120), as a function that can be pickled."""
    return _ORTHOGONAL(key, shape, dtype)


_GLOROT, _ORTHOGONAL = nn.initializers.glorot_uniform(), nn.initializers.orthogonal()


def per_gate(init: Initializer, gates: int) -> Initializer:
    """Initialises each gate's block of a fused kernel by itself, so that its fan and rank are right."""

    def fused(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        blocks = [init(k, (shape[0], shape[1] // gates), dtype) for k in jax.random.split(key, gates)]
        # Values may be boxed with their axes' names (nn.with_partitioning): a box is a tree of one leaf.
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *blocks)

    return fused


def at_least_float32(init: Initializer) -> Initializer:
    """Draws in float32 or better, then casts: the orthogonal initialiser's QR exists in no half precision."""

    def drawn(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        return jax.tree.map(lambda value: value.astype(dtype), init(key, shape, single_or_wider(dtype)))

    return drawn


def single_or_wider(dtype: Any) -> Any:
    """``dtype``, or float32 where that is wider; also where implicit promotion is forbidden."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32

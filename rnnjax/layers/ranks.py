"""Ranks made equal by name: with ``jax_numpy_rank_promotion="raise"`` JAX makes none equal by itself."""

from typing import Any

import jax
import jax.numpy as jnp


def at_rank_of(part: Any, whole: Any) -> jax.Array:
    """``part`` with axes of size 1 before its own, as many axes in all as ``whole`` has."""
    missing = jnp.ndim(whole) - jnp.ndim(part)
    return jnp.expand_dims(part, tuple(range(missing))) if missing > 0 else part

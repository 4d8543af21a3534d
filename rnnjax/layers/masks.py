"""Which steps of a padded or packed batch are real, and where its sequences start."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnnjax.errors import UsageError
from rnnjax.layers.ranks import at_rank_of

Array = jax.Array


def sequence_mask(inputs: Array, lengths: Array | None, mask: Array | None) -> Array | None:
    """The boolean mask ``[..., T]`` that ``lengths`` or ``mask`` mean for ``inputs [..., T, D]``, or None.

    Raises:
      UsageError: as described in :meth:`rnnjax.layers.recurrence.RNN.__call__`.
    """
    if inputs.ndim < 2:
        raise UsageError(f"inputs must have shape [..., T, D], got {inputs.shape}")
    batch, steps = inputs.shape[:-2], inputs.shape[-2]
    if lengths is not None and mask is not None:
        raise UsageError("give lengths or mask, not both")
    if mask is not None:
        return _booleans("mask", mask, (*batch, steps))
    if lengths is None:
        return None
    # Concrete ones in NumPy: inside jit even an operation on concrete values would be traced.
    counts: Any = lengths if isinstance(lengths, Tracer) else np.asarray(lengths)
    if not jnp.issubdtype(counts.dtype, jnp.integer) or counts.shape != batch:
        raise UsageError(f"lengths must be integers with shape {batch}, got {counts.dtype} {counts.shape}")
    if isinstance(counts, np.ndarray):
        outside = (counts < 0) | (counts > steps)
        if outside.any():
            raise UsageError(f"lengths must lie in 0..{steps} (the inputs' T), got {counts[outside].ravel()[0]}")
    counts = jnp.asarray(counts)[..., None]
    return at_rank_of(jnp.arange(steps), counts) < counts


def sequence_starts(inputs: Array, resets: Array | None, mask: Array | None, reverse: bool) -> Array | None:
    """The real steps ``[..., T]`` before which a scan in this direction has to take the reset carry.

    ``resets`` marks the first step of each packed sequence in the order of the inputs. A scan from
    the end enters a sequence at its last real step instead, which is the one before the next mark.
    A mark at a masked step counts for nothing, as the step itself.

    Raises:
      UsageError: if ``resets`` are not booleans of shape ``[..., T]``.
    """
    if resets is None:
        return None
    resets = _booleans("resets", resets, inputs.shape[:-1])
    real = jnp.ones(resets.shape, bool) if mask is None else mask
    resets = resets & real
    if not reverse:
        return resets
    steps = resets.shape[-1]
    places = jnp.where(real, at_rank_of(jnp.arange(steps), real), steps)
    following = jax.lax.cummin(places, axis=places.ndim - 1, reverse=True)  # the real step at or after each step
    nothing = [(0, 0)] * (resets.ndim - 1) + [(0, 1)]
    after = jnp.pad(following, nothing, constant_values=steps)[..., 1:]
    return real & jnp.take_along_axis(jnp.pad(resets, nothing), after, axis=-1)


def _booleans(name: str, values: Any, shape: Sequence[int]) -> Array:
    values = jnp.asarray(values)
    if values.dtype != jnp.bool_ or values.shape != tuple(shape):
        raise UsageError(f"{name} must be boolean with shape {tuple(shape)}, got {values.dtype} {values.shape}")
    return values

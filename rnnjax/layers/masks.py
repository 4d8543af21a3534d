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
      UsageError: as described in :meth:`rnnjax.layers.rnn.RNN.__call__`.
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


def of_rows(flags: Array, new: Array, old: Array) -> Array:
    """``new`` in the rows whose flag is set, and ``old`` in the others.

    Args:
      flags: ``[..., 1]`` booleans, one for each row of the batch.
      new, old: ``[..., *]`` with any further axes, or none, behind those of the batch.

    Raises:
      UsageError: if these do not begin with the axes of the batch.
    """
    batch = flags.shape[:-1]
    if jnp.shape(old)[: len(batch)] != batch:
        raise UsageError(
            f"RNN: a mask, resets, and remat that has to fill up its last chunk tell rows of the carry apart, whose "
            f"arrays must begin with the batch's axes {list(batch)}, got {list(jnp.shape(old))}"
        )
    further = jnp.ndim(old) - len(batch)
    return jnp.where(flags if further == 1 else flags.reshape(*batch, *[1] * further), new, old)


def as_array(inputs: Any) -> Array:
    """The inputs, if they are an array.

    Raises:
      UsageError: if they are another library's, or a list.
    """
    if isinstance(inputs, jax.Array | np.ndarray):
        return inputs  # pyright: ignore[reportReturnType]
    kind = type(inputs)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    raise UsageError(
        f"inputs must be a JAX or NumPy array [..., T, D], got a {name}; jnp.asarray(inputs) makes one of numbers"
    )


def _booleans(name: str, values: Any, shape: Sequence[int]) -> Array:
    """Flags ``[..., T]`` of booleans, or of integers that are 0 and 1, for all rows where they are ``[T]``."""
    given: Any = values if isinstance(values, jax.Array) else np.asarray(values)
    known = given.dtype == jnp.bool_ or jnp.issubdtype(given.dtype, jnp.integer)
    fits = given.shape[-1:] == tuple(shape[-1:]) and given.ndim <= len(shape)
    fits = fits and all(a in (1, b) for a, b in zip(given.shape[::-1], shape[::-1], strict=False))
    if given.shape == (*shape, 1):  # as a mask that is multiplied with features
        given, fits = given[..., 0], True
    if not known or not fits:
        raise UsageError(f"{name} must be boolean with shape {tuple(shape)}, got {given.dtype} {given.shape}")
    if given.dtype == jnp.bool_:
        flags = jnp.asarray(given)
    else:
        other = np.empty(0) if isinstance(given, Tracer) else np.setdiff1d(np.asarray(given), (0, 1))
        if other.size:  # such as the numbers of packed sequences, which mean something else
            raise UsageError(f"{name} must be boolean, or integers that are 0 or 1, got {other[0]}")
        flags = jnp.asarray(given) != 0
    return flags if flags.shape == tuple(shape) else jnp.broadcast_to(flags, shape)

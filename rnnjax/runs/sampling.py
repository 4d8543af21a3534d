"""The mathematics of sampling a token: temperature, top-k, and the nucleus."""

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

_COLDEST, _HOTTEST = 1e-30, 1e30
"""Outside them, differences of logits, or the inverse of the temperature, would leave float32 in the division."""


def ranked(logits: Array, temperature: Array, top_k: Array, top_p: Array) -> tuple[Array, Array]:
    """The tokens to sample among, most probable first; of equal ones, the lower id first.

    Args:
      logits: ``[..., V]``; ``-inf`` where a token must not be drawn.
      temperature: what logits are divided by, 0 or more; nearly 0 leaves the most probable token.
      top_k: keep so many most probable tokens; 0 keeps all.
      top_p: of those, keep the smallest set of the most probable ones whose mass reaches it, at least one token
        (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751, equation 2).

    Returns:
      Logits ``[..., V]`` in that order, ``-inf`` where a token is not kept, and the tokens' ids.
    """
    scaled = (logits - logits.max(-1, keepdims=True)) / jnp.clip(temperature, _COLDEST, _HOTTEST)
    ids = jnp.argsort(scaled, axis=-1, descending=True, stable=True)
    scaled = jnp.take_along_axis(scaled, ids, -1)
    places, size = jnp.arange(logits.shape[-1]), logits.shape[-1]
    scaled = jnp.where(places < jnp.where(top_k > 0, top_k, size), scaled, -jnp.inf)
    reached = jnp.cumsum(jax.nn.softmax(scaled), -1)
    before = jnp.concatenate([jnp.zeros_like(reached[..., :1]), reached[..., :-1]], -1)
    # A mass of 1 keeps all: rounded sums may have reached it before the last tokens.
    return jnp.where((before < top_p) | (top_p >= 1), scaled, -jnp.inf), ids


def sample(keys: Array, logits: Array, temperature: Array, top_k: Array, top_p: Array) -> Array:
    """A token a row, as :func:`ranked` says; at a temperature of 0 the most probable one.

    Args:
      keys: ``[B]``, one a row.
      logits: ``[B, V]``.
      temperature, top_k, top_p: scalars.

    Returns:
      Ids ``[B]`` int32; -1 in a row whose logits are no numbers.
    """
    kept, ids = ranked(logits, temperature, top_k, top_p)
    drawn = jax.vmap(jax.random.categorical)(keys, kept)
    place = jnp.where(temperature > 0, drawn, 0)
    token = jnp.take_along_axis(ids, place[:, None], -1)[:, 0].astype(jnp.int32)
    # An infinite logit, unlike the -inf of a token that is left out, is none either.
    return jnp.where(jnp.isfinite(logits.max(-1)), token, -1)


def row_keys(key: Array, rows: int, place: Array) -> Array:
    """A key for each row at a place in the text, the same for any number of rows: ``[B]``."""
    return jax.vmap(lambda row: jax.random.fold_in(jax.random.fold_in(key, row), place))(lax.iota(jnp.uint32, rows))

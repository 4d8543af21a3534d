"""A small causal Transformer that answers at each step: what the recurrences of ``state_tracking`` stand beside.

Pre-norm blocks of attention and a multilayer perceptron (Vaswani et al. 2017, arXiv:1706.03762), with rotary positions
(Su et al. 2021, arXiv:2104.09864) or with none.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array

_BLOCK = 500
"""Queries that look back at once: all of a long sequence together would fill the memory."""


class AttentionReader(nn.Module):
    """Reads tokens, each with all that stand before it.

    Attributes:
      tokens: number of token ids.
      outputs: number of logits at each step.
      features: of an embedding and of each block.
      layers: blocks.
      heads: of each block's attention.
      rotary: whether positions are told, by rotations of queries and keys.
    """

    tokens: int
    outputs: int
    features: int = 64
    layers: int = 2
    heads: int = 4
    rotary: bool = True

    @nn.compact
    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Array:
        """Token ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, T, outputs]``."""
        del lengths, train  # what stands behind an end is looked at by nobody before it
        words = nn.Embed(self.tokens, self.features)(inputs)
        for _ in range(self.layers):
            words += self._attention(nn.LayerNorm()(words))
            hidden = nn.gelu(nn.Dense(4 * self.features)(nn.LayerNorm()(words)))
            words += nn.Dense(self.features)(hidden)
        return nn.Dense(self.outputs)(nn.LayerNorm()(words))

    def _attention(self, words: Array) -> Array:
        wide = nn.DenseGeneral((3, self.heads, self.features // self.heads))(words)
        queries, keys, values = (wide[:, :, number] for number in range(3))
        if self.rotary:
            queries, keys = _rotated(queries), _rotated(keys)
        return nn.DenseGeneral(self.features, axis=(-2, -1))(_looked_back(queries, keys, values))


def _rotated(vectors: Array) -> Array:
    """Each pair of features ``[B, T, heads, F]`` turned by an angle that grows with the step."""
    half = vectors.shape[-1] // 2
    angles = jnp.arange(vectors.shape[1])[:, None] * 10_000.0 ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    one, other = vectors[..., :half], vectors[..., half:]
    return jnp.concatenate([one * cosine - other * sine, one * sine + other * cosine], -1)


def _looked_back(queries: Array, keys: Array, values: Array) -> Array:
    """Causal attention of ``[B, T, heads, F]``, block by block of the queries."""
    steps = queries.shape[1]
    if steps <= _BLOCK:
        return jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
    blocks = -(-steps // _BLOCK)
    padded = jnp.pad(queries, ((0, 0), (0, blocks * _BLOCK - steps), (0, 0), (0, 0)))
    each = jnp.moveaxis(padded.reshape(len(queries), blocks, _BLOCK, *queries.shape[2:]), 1, 0)

    def look(block: tuple[Array, Array]) -> Array:
        queries, first = block
        seen = jnp.arange(steps) <= first + jnp.arange(_BLOCK)[:, None]
        return jax.nn.dot_product_attention(queries, keys, values, mask=seen[None, None])

    found = jax.lax.map(look, (each, _BLOCK * jnp.arange(blocks)))
    return jnp.moveaxis(found, 0, 1).reshape(padded.shape)[:, :steps]

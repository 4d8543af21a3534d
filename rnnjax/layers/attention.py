"""Attention: for each query a mean of memories, weighed by how well they match.

Axes: B batch, S steps of the memory, F its features, Q features of a query.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import glorot, single_or_wider

Array = jax.Array


def attention_weights(scores: Array, mask: Array | None) -> Array:
    """The softmax of scores ``[..., S]`` over real steps, float32 or wider.

    Args:
      scores: of each step; what stands in masked steps, NaN included, changes neither results nor gradients.
      mask: ``[..., S]`` booleans, True at real steps; None: all are.

    Returns:
      ``[..., S]``, zero at masked steps; they add up to 1, and to 0 where no step is real.
    """
    wide = scores.astype(single_or_wider(scores.dtype))
    if mask is None:
        return jax.nn.softmax(wide, axis=-1)
    # A finite lowest score keeps rows without real steps free of NaN; their weights become zero below.
    weights = jax.nn.softmax(jnp.where(mask, wide, jnp.finfo(wide.dtype).min), axis=-1)
    return jnp.where(mask, weights, 0)


class Memory(NamedTuple):
    """What queries look at, made once for all of them by :meth:`Attention.memory`.

    Attributes:
      values: ``[B, S, F]``, zero at masked steps.
      keys: ``[B, S, features]``.
      mask: ``[B, S]`` booleans, True at real steps; None: all are.
    """

    values: Array
    keys: Array
    mask: Array | None = None


class Attention(nn.Module):
    """What the kinds of attention have in common: a memory that is prepared once, and a mean of it for each query.

    Attributes:
      features: width of the keys.
      dtype: dtype of the products; None takes that of the inputs and the parameters together. The softmax is taken in
        float32 or wider.
    """

    features: int
    dtype: Any = None

    def __post_init__(self):
        if self.features <= 0:
            raise UsageError(f"{type(self).__name__}: features must be positive, got {self.features}")
        super().__post_init__()

    def setup(self):
        self.key = nn.Dense(self.features, use_bias=False, kernel_init=glorot, dtype=self.dtype)

    def memory(self, values: Array, mask: Array | None = None) -> Memory:
        """Prepares ``values [B, S, F]`` with ``mask [B, S]``: what does not depend on the query.

        What stands in masked steps, NaN included, changes neither results nor gradients.
        """
        if mask is not None:
            # NaN * 0 is NaN: padding must be gone before it meets a kernel, or gradients see it.
            values = jnp.where(mask[..., None], values, jnp.zeros((), values.dtype))
        return Memory(values, self.key(values), mask)

    def scores(self, query: Array, keys: Array) -> Array:
        """How well each step of a memory matches the queries ``[B, Q]``, ``[B, S]``."""
        raise NotImplementedError(f"{type(self).__name__} does not define its scores")

    def __call__(self, query: Array, memory: Memory) -> tuple[Array, Array]:
        """The mean of a memory for each query ``[B, Q]``.

        Returns:
          ``(context [B, F], weights [B, S])``, both zero in a row without a real step.
        """
        weights = attention_weights(self.scores(query, memory.keys), memory.mask)
        context = jnp.einsum("bs,bsf->bf", weights.astype(memory.values.dtype), memory.values)
        return context, weights


class AdditiveAttention(Attention):
    r"""Scores by a layer of tanh (Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2).

    .. math:: e_s = v^\top \tanh(W_q q + W_m m_s)
    """

    def setup(self):
        super().setup()
        self.query = nn.Dense(self.features, kernel_init=glorot, dtype=self.dtype)
        self.score = nn.Dense(1, use_bias=False, kernel_init=glorot, dtype=self.dtype)

    def scores(self, query: Array, keys: Array) -> Array:
        return self.score(jnp.tanh(self.query(query)[:, None] + keys))[..., 0]


class MultiplicativeAttention(Attention):
    r"""Scores by products, "general" of Luong et al. 2015 (arXiv:1508.04025, section 3.1).

    .. math:: e_s = q^\top W_m m_s

    The features are those of the queries.
    """

    def scores(self, query: Array, keys: Array) -> Array:
        if query.shape[-1] != self.features:
            raise UsageError(
                f"{type(self).__name__}: queries of {query.shape[-1]} features, but features={self.features}; "
                "they must be as many"
            )
        return jnp.einsum("bq,bsq->bs", query, keys.astype(query.dtype))


ATTENTIONS: dict[str, type[Attention]] = {"additive": AdditiveAttention, "multiplicative": MultiplicativeAttention}
"""Every kind by its name in configurations, each made as ``ATTENTIONS[name](features, dtype=dtype)``."""

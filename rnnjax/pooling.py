"""Pooling heads: the outputs of a sequence, ``[..., T, H]``, to one vector, over real steps only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells.initializers import single_or_wider
from rnnjax.errors import UsageError

Array = jax.Array


def pool(outputs: Array, mask: Array | None, kind: str) -> Array:
    """Pools outputs ``[..., T, H]`` over real steps to ``[..., H]``; a row without real steps gives zeros.

    Args:
      outputs: ``[..., T, H]``.
      mask: ``[..., T]`` booleans or None when every step is real.
      kind: ``"last"`` (the last real step), ``"mean"`` or ``"max"``.

    Raises:
      UsageError: for another ``kind``.
    """
    if mask is None:
        mask = jnp.ones(outputs.shape[:-1], bool)
    real = mask[..., None]
    if kind == "mean":
        count = jnp.maximum(real.sum(-2), 1).astype(outputs.dtype)
        return jnp.where(real, outputs, 0).sum(-2) / count
    if kind == "max":
        highest = jnp.where(real, outputs, jnp.finfo(outputs.dtype).min).max(-2)
        return jnp.where(real.any(-2), highest, 0)
    if kind == "last":
        steps = jnp.arange(outputs.shape[-2])
        index = jnp.where(mask, steps, -1).max(-1)
        last = jnp.take_along_axis(outputs, jnp.maximum(index, 0)[..., None, None], axis=-2)[..., 0, :]
        return jnp.where((index >= 0)[..., None], last, 0)
    raise UsageError(f"pooling must be one of last, mean, max, got {kind!r}")


class AttentionPool(nn.Module):
    r"""Additive attention with one learned query (Yang et al. 2016, "Hierarchical attention networks", eq. 5-7).

    .. math:: u_t = \tanh(y_t W + b), \quad \alpha = \mathrm{softmax}_t(u_t q), \quad s = \sum_t \alpha_t y_t

    Attributes:
      features: width of :math:`u`.
      dtype: dtype of the products; None takes that of outputs and parameters together. The softmax
        is taken in float32 or better.
      param_dtype: dtype of the parameters.
    """

    features: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self):
        if self.features <= 0:
            raise UsageError(f"AttentionPool: features must be positive, got {self.features}")
        super().__post_init__()

    @nn.compact
    def __call__(self, outputs: Array, mask: Array | None = None) -> Array:
        """Pools ``outputs [..., T, H]`` under ``mask [..., T]`` to ``[..., H]``; no real step gives zeros."""
        if mask is None:
            mask = jnp.ones(outputs.shape[:-1], bool)
        outputs = jnp.where(mask[..., None], outputs, 0)
        hidden = nn.Dense(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="hidden")(outputs)
        query = nn.Dense(1, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype, name="query")
        scores = query(jnp.tanh(hidden))[..., 0]
        wide = scores.astype(single_or_wider(scores.dtype))
        # A finite lowest score keeps rows without real steps free of NaN; their weights become zero below.
        weights = jax.nn.softmax(jnp.where(mask, wide, jnp.finfo(wide.dtype).min), axis=-1)
        weights = jnp.where(mask, weights, 0).astype(outputs.dtype)
        return (weights[..., None] * outputs).sum(-2)

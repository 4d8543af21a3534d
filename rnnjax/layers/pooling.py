"""Pooling heads: the outputs of a sequence, ``[..., T, H]``, to one vector, over real steps only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import single_or_wider
from rnnjax.layers.masks import sequence_mask

Array = jax.Array


def pool(outputs: Array, mask: Array | None, kind: str, *, backward: int = 0) -> Array:
    """Pools outputs ``[..., T, H]`` over real steps to ``[..., H]``; a row without real steps gives zeros.

    Args:
      outputs: ``[..., T, H]``.
      mask: ``[..., T]`` booleans or None when every step is real.
      kind: ``"last"`` (what each direction has read last), ``"mean"`` or ``"max"``. The last step that a backward
        recurrence reads is a row's first real one, that of a forward recurrence its last.
      backward: how many of the last of the H features a backward recurrence made, as a layer's
        ``backward_features`` says; only ``"last"`` asks.

    Raises:
      UsageError: for another ``kind``, more backward features than there are, or a mask of another shape or dtype.
    """
    mask = sequence_mask(outputs, None, mask)
    if kind not in ("last", "mean", "max"):
        raise UsageError(f"pooling must be one of last, mean, max, got {kind!r}")
    if 0 in outputs.shape[-2:-1]:  # of no steps there is no maximum, and no place of the last one
        return jnp.zeros((*outputs.shape[:-2], outputs.shape[-1]), outputs.dtype)
    if mask is None:
        mask = jnp.ones(outputs.shape[:-1], bool)
    real = mask[..., None]
    if kind == "mean":
        # Sums of half precision would overflow, and round, where their mean does not.
        wide = outputs.astype(single_or_wider(outputs.dtype))
        count = jnp.maximum(real.sum(-2), 1).astype(wide.dtype)
        return (jnp.where(real, wide, 0).sum(-2) / count).astype(outputs.dtype)
    if kind == "max":
        highest = jnp.where(real, outputs, jnp.finfo(outputs.dtype).min).max(-2)
        return jnp.where(real.any(-2), highest, 0)
    return _last(outputs, mask, backward)


def _last(outputs: Array, mask: Array, backward: int) -> Array:
    """What the forward features hold at a row's last real step, and the ``backward`` ones at its first."""
    width, steps = outputs.shape[-1], jnp.arange(outputs.shape[-2])
    if not 0 <= backward <= width:
        raise UsageError(f"pool: backward must lie in 0..{width} (the outputs' features), got {backward}")
    any_real = mask.any(-1)[..., None]

    def at(index: Array, features: Array) -> Array:
        taken = jnp.take_along_axis(features, index[..., None, None], axis=-2)[..., 0, :]
        return jnp.where(any_real, taken, 0)

    last = at(jnp.where(mask, steps, 0).max(-1), outputs[..., : width - backward])
    if not backward:
        return last
    return jnp.concatenate([last, at(jnp.argmax(mask, -1), outputs[..., width - backward :])], axis=-1)


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
        weights = jnp.where(mask, weights, 0)
        return (weights[..., None] * outputs.astype(wide.dtype)).sum(-2).astype(outputs.dtype)

"""Batch norm over the real steps of sequences."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from rnnjax.errors import UsageError

Array = jax.Array


class MaskedBatchNorm(nn.BatchNorm):
    """Batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167) by the steps that are real, as many as each device has.

    ``nn.BatchNorm`` with a mask takes the mean over devices of their means, which is that of the whole batch only where
    all have as many real steps. Here sums and counts are added up over ``axis_name``, so that a batch is normalised by
    the same numbers on one device and on many. A batch without a real step leaves the running averages as they are.

    Variables and attributes are those of ``nn.BatchNorm``; the variance is always taken in two passes, in float32 or
    wider, and the features lie on the last axis.
    """

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None) -> Array:
        """``[B, T, D]`` under ``mask [B, T]``, or all of it where there is none, to the same shape; in ``dtype``, where
        it is said, else the inputs'.

        Raises:
          UsageError: if another axis or groups of devices are asked for.
        """
        if self.axis != -1 or self.axis_index_groups is not None:
            raise UsageError("MaskedBatchNorm normalises the last axis over all devices; leave out axis and its groups")
        steady = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        features, wide = x.shape[-1:], jnp.promote_types(x.dtype, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, features, self.param_dtype)
        variance = self.variable("batch_stats", "var", jnp.ones, features, self.param_dtype)
        used: tuple[Any, Any] = mean.value, variance.value
        if not steady:
            # Initialising runs outside the mapped step, where the axis has no meaning.
            axis = None if self.is_initializing() else self.axis_name
            used, some = _statistics(x.astype(wide), mask, axis)
            if not self.is_initializing():
                for kept, new in zip((mean, variance), used, strict=True):
                    moved = self.momentum * kept.value + (1 - self.momentum) * new.astype(kept.value.dtype)
                    kept.value = jnp.where(some, moved, kept.value)
        scale = self.param("scale", self.scale_init, features, self.param_dtype) if self.use_scale else 1
        bias = self.param("bias", self.bias_init, features, self.param_dtype) if self.use_bias else 0
        made = (x.astype(wide) - used[0]) * (lax.rsqrt(used[1] + self.epsilon) * scale) + bias
        return made.astype(self.dtype or x.dtype)


def _statistics(x: Array, mask: Array | None, axis: str | None) -> tuple[tuple[Array, Array], Array]:
    """Mean and variance ``[D]`` of the real steps of ``[B, T, D]`` on all devices, and whether there is one.

    The variance is that about the mean, in a second pass: the mean square less the squared mean would leave nothing in
    float32 of inputs far from zero.
    """
    there = jnp.ones(x.shape[:-1], bool) if mask is None else mask
    axes = tuple(range(x.ndim - 1))

    def total(values: Array) -> Array:
        return values if axis is None else lax.psum(values, axis)

    count = total(there.sum().astype(x.dtype))
    most = jnp.maximum(count, 1)
    # `where`, not a product: what stands in the padding may be NaN.
    mean = total(jnp.where(there[..., None], x, 0).sum(axes)) / most
    moved = jnp.where(there[..., None], x - mean, 0)
    return (mean, total((moved**2).sum(axes)) / most), count > 0

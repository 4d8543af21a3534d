"""Numeric sequences read step by step: one answer for a whole one, or one at each step."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.conv import SequenceConvStack
from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.head import PooledHead, StepHead, backward_features

Array = jax.Array


class SequenceNet(nn.Module):
    """Reads the channels of a sequence step by step.

    Attributes:
      recurrent: an RNN, Bidirectional or StackedRNN over the steps, or over what ``conv`` makes of them.
      head: from its outputs to those of a whole sequence, or to those of each step.
      conv: what comes before the recurrence, or None.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
      instance_norm: whether each channel has mean 0 and variance 1 over the steps of its sequence, which removes what
        colours all of a recording (Viikki and Laurila 1998, doi:10.1016/S0167-6393(98)00033-8).
    """

    recurrent: nn.Module
    head: PooledHead | StepHead
    conv: SequenceConvStack | None = None
    precision: str = "default"
    instance_norm: bool = False

    def __call__(self, inputs: Array, *, lengths: Array | None = None, train: bool = False) -> Array:
        """Values ``[B, T, D]`` with ``lengths [B]`` to ``[B, outputs]``, or ``[B, T, outputs]`` where the head is one
        of steps.
        """
        with matmul_precision(self.precision):
            return self._outputs(inputs, lengths, train)

    def _outputs(self, inputs: Array, lengths: Array | None, train: bool) -> Array:
        if lengths is None:
            lengths = jnp.full(inputs.shape[:1], inputs.shape[1], jnp.int32)
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        # What stands in the padding is no part of any answer, nor of a perturbation's norm.
        inputs = movable(self, "values", jnp.where(mask[..., None], inputs, 0), mask[..., None])
        if self.instance_norm:
            inputs = _instance_norm(inputs, mask)
        if self.conv is not None:
            inputs, mask = self.conv(inputs, mask, train=train)
            lengths = mask.sum(-1)
        _, outputs = self.recurrent(inputs, lengths=lengths, train=train)
        return self.head(outputs, mask, train=train, backward=backward_features(self.head, self.recurrent))


def _instance_norm(values: Array, mask: Array) -> Array:
    """Values ``[B, T, D]``, 0 where the mask ``[B, T]`` is, less their means and over their deviations in time."""
    there, steps = mask[..., None], jnp.maximum(mask.sum(-1), 1)[:, None, None]
    moved = jnp.where(there, values - values.sum(1, keepdims=True) / steps, 0)
    # A constant channel has no deviation; what is added is little beside that of normalised values, which is about 1.
    return moved / jnp.sqrt((moved**2).sum(1, keepdims=True) / steps + 1e-3)

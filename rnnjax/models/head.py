"""From a sequence to logits."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.pooling import AttentionPool, pool

Array = jax.Array


class PooledHead(nn.Module):
    """Pools a sequence over its real steps and maps it to logits.

    Attributes:
      outputs: number of logits.
      pooling: any of ``last``, ``mean``, ``max`` and ``attention``; several are concatenated. The first three are those
        of :func:`rnnjax.layers.pooling.pool`, attention is :class:`rnnjax.AttentionPool`, as wide as the outputs are.
      dropout: rate of dropout on the pooled features.
      dense: features of the hidden layers before the logits, each followed by ReLU.
    """

    outputs: int
    pooling: Sequence[str] = ("last",)
    dropout: float = 0.0
    dense: Sequence[int] = ()

    @nn.compact
    def __call__(self, outputs: Array, mask: Array | None, *, train: bool, backward: int = 0) -> Array:
        """``[B, T, H]`` and ``mask [B, T]`` (or None) to logits ``[B, outputs]``; ``backward`` as in :func:`pool`."""
        # Sums over time and logits need float32, whatever the layers below compute in.
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        attention = AttentionPool(outputs.shape[-1], name="attention") if "attention" in self.pooling else None
        pooled = jnp.concatenate(
            [
                attention(outputs, mask)
                if attention is not None and kind == "attention"
                else pool(outputs, mask, kind, backward=backward)
                for kind in self.pooling
            ],
            axis=-1,
        )
        pooled = nn.Dropout(self.dropout)(pooled, deterministic=not train)
        for features in self.dense:
            pooled = nn.relu(nn.Dense(features)(pooled))
        return nn.Dense(self.outputs)(pooled)


class StepHead(nn.Module):
    """Maps each step of a sequence to logits of its own.

    Attributes:
      outputs: number of logits.
      dropout: rate of dropout on the features, one mask for all steps of a sequence.
      dense: features of the hidden layers before the logits, each followed by ReLU.
    """

    outputs: int
    pooling: ClassVar[Sequence[str]] = ()
    dropout: float = 0.0
    dense: Sequence[int] = ()

    @nn.compact
    def __call__(self, outputs: Array, mask: Array | None, *, train: bool, backward: int = 0) -> Array:
        """``[B, T, H]`` to logits ``[B, T, outputs]``, float32 or wider; called as :class:`PooledHead` is."""
        del mask, backward
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        outputs = nn.Dropout(self.dropout, broadcast_dims=(1,))(outputs, deterministic=not train)
        for features in self.dense:
            outputs = nn.relu(nn.Dense(features)(outputs))
        return nn.Dense(self.outputs)(outputs)


def backward_features(head: PooledHead | StepHead, recurrent: nn.Module) -> int:
    """How many of the outputs' last features were read from the end; a layer of another library has none."""
    return getattr(recurrent, "backward_features", 0) if "last" in head.pooling else 0

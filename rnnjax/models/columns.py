"""An image of a string, read column by column behind convolutions.

Axes: B batch, S columns of pixels, H height, C channels, F features.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.conv import convolution
from rnnjax.layers.masks import sequence_mask
from rnnjax.layers.max_pool import max_pool
from rnnjax.layers.movable import movable
from rnnjax.layers.pooling import pool
from rnnjax.models.encoder_decoder import Encoded

Array = jax.Array

_POOL = 2


class ColumnEncoder(nn.Module):
    """Convolutions with ReLU and pooling, and a recurrence from left to right over the columns that are left.

    What stands behind an image's width changes nothing: after every layer it is zero again, as beyond an edge.

    Attributes:
      conv: channels of each 3 x 3 convolution; behind each both sides are halved by max pooling.
      recurrent: an RNN, Bidirectional or StackedRNN over the columns; None: each is what the convolutions make of it.
      dropout: rate on the memory and on the summary.
    """

    conv: Sequence[int]
    recurrent: nn.Module | None
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Encoded:
        """Columns ``[B, S, H]`` with ``lengths [B]`` to a memory of ``S / 2`` columns for each convolution."""
        real = jnp.arange(inputs.shape[1]) < lengths[:, None]
        images = _within(movable(self, "columns", inputs, real[..., None])[..., None], lengths)
        for channels in self.conv:
            convolved = nn.Conv(channels, (3, 3), conv_general_dilated=convolution)(images)  # pyright: ignore
            images = jnp.asarray(max_pool(nn.relu(convolved), _POOL))
            lengths = lengths // _POOL
            images = _within(images, lengths)
        columns = images.reshape(*images.shape[:2], -1)
        mask = sequence_mask(columns, lengths, None)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        if self.recurrent is None:
            return Encoded(drop(columns), mask)
        _, outputs = self.recurrent(columns, lengths=lengths, train=train)
        summary = pool(outputs, mask, "last", backward=getattr(self.recurrent, "backward_features", 0))
        return Encoded(drop(outputs), mask, drop(summary))


def _within(images: Array, lengths: Array) -> Array:
    """Images ``[B, S, H, C]``, zero behind their lengths."""
    real = jnp.arange(images.shape[1]) < lengths[:, None]
    return jnp.where(real[..., None, None], images, jnp.zeros((), images.dtype))

"""What writes a string without recurrence or attention: each of its images by itself, as wide as one image is."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.data.tokens import END, PADDING
from rnnjax.models.columns import ColumnEncoder
from rnnjax.models.decoding import log_probabilities

Array = jax.Array


class PerColumn(nn.Module):
    """Cuts what an encoder makes of an image into equal parts, and classifies each.

    It is told how wide an image of a string is, and thus of how many signs: then it ends.

    Attributes:
      encoder: without a recurrence, so that a part sees itself and its neighbours' edges.
      tokens: number of token ids.
      columns: of the memory, that belong to a part.
      limit: most tokens, with the end.
      features: of a hidden layer.
    """

    encoder: ColumnEncoder
    tokens: int
    columns: int
    limit: int
    features: int = 128

    @nn.compact
    def __call__(self, inputs: Array, *, lengths: Array, targets: Array | None = None, train: bool = False):
        """As :class:`rnnjax.models.encoder_decoder.EncoderDecoder` is called and answers."""
        memory, mask, _ = self.encoder(inputs, lengths=lengths, train=train)
        assert mask is not None
        parts = memory.reshape(len(memory), -1, self.columns * memory.shape[-1])
        hidden = nn.relu(nn.Dense(self.features)(parts))
        found = jnp.pad(nn.Dense(self.tokens)(hidden), ((0, 0), (0, self.limit), (0, 0)))[:, : self.limit]
        count = mask.sum(1) // self.columns
        behind = jnp.arange(self.limit) >= count[:, None]
        logits = jnp.where(behind[..., None], 100 * jax.nn.one_hot(END, self.tokens), found)
        if train or self.is_initializing():
            assert targets is not None
            return logits[:, : targets.shape[1]]
        kept = log_probabilities(logits)
        tokens = jnp.where(jnp.arange(self.limit) > count[:, None], PADDING, kept.argmax(-1))
        score = jnp.where(tokens == PADDING, 0, kept.max(-1)).sum(1)
        written = {"tokens": tokens, "score": score, "weights": jnp.zeros((*tokens.shape, 0))}
        if targets is None or not targets.shape[1]:
            return written
        return written | {"logits": logits[:, : targets.shape[1]]}

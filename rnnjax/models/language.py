"""Language models: at each step the logits of the token that follows."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision

Array = jax.Array


class RecurrentLM(nn.Module):
    """Reads tokens and says at each what may follow.

    Its parts are called as those of :class:`rnnjax.TextClassifier`: ``Embed_0`` and ``recurrent`` fit where a
    classifier reads forwards.

    Attributes:
      vocabulary_size: number of token ids.
      embedding_features: features of an embedding.
      recurrent: a forward RNN or StackedRNN, :class:`rnnjax.Carried` where batches go on where those before ended.
      dropout: rate of dropout on what the logits are made of.
      embedding_dropout: rate of dropout on embedding features with one mask for all tokens of a row.
      tied: the logits are products with the tokens' embeddings (Press and Wolf 2017, arXiv:1608.05859); the outputs
        become as wide as an embedding by a linear layer where they are not.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    tied: bool = False
    precision: str = "default"

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Token ids ``[B, T]`` to logits ``[B, T, V]`` of the tokens after them, float32 or wider."""
        with matmul_precision(self.precision):
            return self._logits(inputs, train)

    @nn.compact
    def _logits(self, inputs: Array, train: bool) -> Array:
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        words = movable(self, "words", words)
        _, outputs = self.recurrent(words, train=train)
        # Sums over a vocabulary need float32, whatever the layers below compute in.
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        outputs = nn.Dropout(self.dropout)(outputs, deterministic=not train)
        if not self.tied:
            return nn.Dense(self.vocabulary_size, name="head")(outputs)
        if outputs.shape[-1] != self.embedding_features:
            outputs = nn.Dense(self.embedding_features, name="to_embedding")(outputs)
        bias = self.param("head_bias", nn.initializers.zeros, (self.vocabulary_size,))
        return embed.attend(outputs) + bias

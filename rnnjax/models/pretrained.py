"""A classifier of documents out of two language models, one of each direction.

Dai and Le 2015 (arXiv:1511.01432) begin a classifier with a language model's weights; Peters et al. 2018
(arXiv:1802.05365) read with one of each direction; the language model's own loss stays beside the classifier's as in
Radford et al. 2018, section 3.2.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.data.tokens import UNKNOWN
from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.head import PooledHead
from rnnjax.models.sampled import sampled_losses
from rnnjax.models.text import dropped_words

Array = jax.Array


class LanguageEncoder(nn.Module):
    """One direction: its parameters are those of a tied :class:`rnnjax.RecurrentLM` with embeddings as wide as outputs.

    Attributes:
      vocabulary_size: number of token ids.
      embedding_features: features of an embedding.
      recurrent: what the language model carried, reading forwards; or with ``reverse``.
      embedding_dropout: rate of dropout on embedding features with one mask for all words.
      reverse: whether ``recurrent`` reads from a document's end.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    embedding_dropout: float = 0.0
    reverse: bool = False

    @nn.compact
    def __call__(
        self, read: Array, words: Array, lengths: Array, *, train: bool, sampled: int = 0
    ) -> tuple[Array, Array]:
        """Outputs of each step, and a document's loss as the language model has it.

        Args:
          read: ``[B, T]``, ids as they are read, with words dropped.
          words: ``[B, T]``, ids as they are, to be predicted.
          lengths: ``[B]``.
          train: whether dropout is on.
          sampled: of how many other words a loss is made, see :mod:`rnnjax.models.sampled`; 0: it is zero.

        Returns:
          ``[B, T, H]`` and ``[B]``, the mean over the words that have one before them in the order of reading.
        """
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        bias = self.param("head_bias", nn.initializers.zeros, (self.vocabulary_size,))
        steps = jnp.arange(read.shape[1]) < lengths[:, None]
        vectors = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(embed(read), deterministic=not train)
        vectors = movable(self, "words", vectors, steps[..., None])
        _, outputs = self.recurrent(vectors, lengths=lengths, train=train)
        if not sampled:
            return outputs, jnp.zeros(len(read), outputs.dtype)
        before, after = (slice(1, None), slice(None, -1)) if self.reverse else (slice(None, -1), slice(1, None))
        predicted = steps[:, 1:]  # of T words of a document there are T - 1 beside each other
        losses = sampled_losses(
            self.make_rng("dropout"), outputs[:, before], embed.embedding, bias, words[:, after], sampled
        )
        return outputs, jnp.where(predicted, losses, 0).sum(1) / jnp.maximum(predicted.sum(1), 1)


class PretrainedReader(nn.Module):
    """Reads documents in both directions, and classifies what it read.

    Attributes:
      forwards, backwards: an encoder each.
      head: from both encoders' outputs to logits.
      word_dropout, word_dropout_of: as of :class:`rnnjax.TextClassifier`.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    forwards: LanguageEncoder
    backwards: LanguageEncoder
    head: PooledHead
    word_dropout: float = 0.0
    word_dropout_of: str = "tokens"
    precision: str = "default"

    def __call__(
        self, inputs: Array, *, lengths: Array, train: bool = False, sampled: int = 0
    ) -> Array | tuple[Array, Array]:
        """Token ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, outputs]``.

        With ``sampled`` words also ``[B]``: the mean of both language models' losses of each document.
        """
        with matmul_precision(self.precision):
            return self._logits(inputs, lengths, train, sampled)

    @nn.compact
    def _logits(self, inputs: Array, lengths: Array, train: bool, sampled: int) -> Array | tuple[Array, Array]:
        read = inputs
        if train and self.word_dropout:
            dropped = dropped_words(self.make_rng("dropout"), inputs, self.word_dropout, self.word_dropout_of)
            read = jnp.where(dropped, UNKNOWN, inputs)
        ahead, ahead_loss = self.forwards(read, inputs, lengths, train=train, sampled=sampled)
        back, back_loss = self.backwards(read, inputs, lengths, train=train, sampled=sampled)
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        outputs = jnp.concatenate([ahead, back], -1)
        logits = self.head(outputs, mask, train=train, backward=back.shape[-1])
        return (logits, (ahead_loss + back_loss) / 2) if sampled else logits

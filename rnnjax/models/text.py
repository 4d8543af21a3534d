"""Documents read token by token."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.data.tokens import UNKNOWN
from rnnjax.layers.conv import SequenceConvStack
from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.head import PooledHead, StepHead, backward_features

Array = jax.Array


class TextClassifier(nn.Module):
    """Reads a document token by token.

    Attributes:
      vocabulary_size: number of token ids.
      embedding_features: features of an embedding.
      recurrent: an RNN, Bidirectional or StackedRNN over the words, or over what ``conv`` makes of them.
      head: from its outputs to logits of the document, or of each step.
      embedding_dropout: rate of dropout on embedding features with one mask for all words
        (Gal and Ghahramani 2016, arXiv:1512.05287).
      word_dropout: share of words replaced by the unknown word in training.
      word_dropout_of: ``tokens``: each word of a document is drawn for itself; ``types``: all places where a
        document has the same word are replaced or none (Gal and Ghahramani 2016, section 4.2).
      conv: what comes before the recurrence, or None.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    head: PooledHead | StepHead
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    word_dropout_of: str = "tokens"
    conv: SequenceConvStack | None = None
    precision: str = "default"

    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Array:
        """Token ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, outputs]``, or ``[B, T, outputs]`` where the
        head is one of steps.
        """
        with matmul_precision(self.precision):
            return self._logits(inputs, lengths, train)

    @nn.compact
    def _logits(self, inputs: Array, lengths: Array, train: bool) -> Array:
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        if train and self.word_dropout:
            dropped = dropped_words(self.make_rng("dropout"), inputs, self.word_dropout, self.word_dropout_of)
            inputs = jnp.where(dropped, UNKNOWN, inputs)
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        words = movable(self, "words", words, mask[..., None])
        if self.conv is not None:
            words, mask = self.conv(words, mask, train=train)
            lengths = mask.sum(-1)
        _, outputs = self.recurrent(words, lengths=lengths, train=train)
        return self.head(outputs, mask, train=train, backward=backward_features(self.head, self.recurrent))


def dropped_words(key: Array, ids: Array, rate: float, of: str) -> Array:
    """Which of token ids ``[B, T]`` word dropout replaces, ``[B, T]``; see :class:`TextClassifier`."""
    if of == "tokens":
        return jax.random.bernoulli(key, rate, ids.shape)

    def of_document(key: Array, ids: Array) -> Array:
        # A key made of the word itself gives all its places the same draw, without a draw for each word there is.
        return jax.vmap(lambda word: jax.random.bernoulli(jax.random.fold_in(key, word), rate))(ids)

    return jax.vmap(of_document)(jax.random.split(key, ids.shape[0]), ids)

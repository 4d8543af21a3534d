"""Classifiers put together from convolutions, embeddings, recurrences and a pooled head."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.conv import rows_as_sequence
from rnnjax.recurrence import pool
from rnnjax.text import UNKNOWN

Array = jax.Array


class PooledHead(nn.Module):
    """Pools a sequence over its real steps and maps it to logits.

    Attributes:
      outputs: number of logits.
      pooling: any of ``last``, ``mean`` and ``max``; several are concatenated.
      dropout: rate of dropout on the pooled features.
    """

    outputs: int
    pooling: Sequence[str] = ("last",)
    dropout: float = 0.0

    @nn.compact
    def __call__(self, outputs: Array, mask: Array | None, *, train: bool) -> Array:
        """``[B, T, H]`` and ``mask [B, T]`` (or None) to logits ``[B, outputs]``."""
        pooled = jnp.concatenate([pool(outputs, mask, kind) for kind in self.pooling], axis=-1)
        pooled = nn.Dropout(self.dropout)(pooled, deterministic=not train)
        return nn.Dense(self.outputs)(pooled)


class ImageClassifier(nn.Module):
    """Reads an image, or a conv stack's feature maps of it, row by row.

    Attributes:
      recurrent: an RNN, Bidirectional or StackedRNN over the rows.
      head: from its outputs to logits.
      conv: what comes before it, or None.
    """

    recurrent: nn.Module
    head: PooledHead
    conv: nn.Module | None = None

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, height, width, C]`` to logits ``[B, outputs]``."""
        if self.conv is not None:
            inputs = self.conv(inputs, train=train)
        _, outputs = self.recurrent(rows_as_sequence(inputs), train=train)
        return self.head(outputs, None, train=train)


class TextClassifier(nn.Module):
    """Reads a document word by word.

    Attributes:
      vocabulary_size: number of word ids.
      embedding_features: features of an embedding.
      recurrent: an RNN, Bidirectional or StackedRNN over the words.
      head: from its outputs to logits.
      embedding_dropout: rate of dropout on embedding features with one mask for all words
        (Gal and Ghahramani 2016, arXiv:1512.05287).
      word_dropout: share of words replaced by the unknown word in training.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    head: PooledHead
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Array:
        """Word ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, outputs]``."""
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        if train and self.word_dropout:
            dropped = jax.random.bernoulli(self.make_rng("dropout"), self.word_dropout, inputs.shape)
            inputs = jnp.where(dropped, UNKNOWN, inputs)
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        _, outputs = self.recurrent(words, lengths=lengths, train=train)
        return self.head(outputs, mask, train=train)

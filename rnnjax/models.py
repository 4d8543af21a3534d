"""Classifiers put together from convolutions, embeddings, recurrences and a pooled head."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.adversarial import movable
from rnnjax.conv import SequenceConvStack, pixels_as_sequence, rows_as_sequence, sequence_as_pixels, sequence_as_rows
from rnnjax.precision import matmul_precision
from rnnjax.recurrence import pool
from rnnjax.text import UNKNOWN

Array = jax.Array


class PooledHead(nn.Module):
    """Pools a sequence over its real steps and maps it to logits.

    Attributes:
      outputs: number of logits.
      pooling: any of ``last``, ``mean`` and ``max``; several are concatenated.
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
        pooled = jnp.concatenate([pool(outputs, mask, kind, backward=backward) for kind in self.pooling], axis=-1)
        pooled = nn.Dropout(self.dropout)(pooled, deterministic=not train)
        for features in self.dense:
            pooled = nn.relu(nn.Dense(features)(pooled))
        return nn.Dense(self.outputs)(pooled)


class ImageClassifier(nn.Module):
    """Reads an image, or a conv stack's feature maps of it, row by row or pixel by pixel.

    Attributes:
      recurrent: an RNN, Bidirectional or StackedRNN over the rows or pixels; None: the head pools the feature
        maps over all pixels.
      head: to logits, from the outputs over rows, or from feature maps over pixels.
      conv: what comes before the recurrence, or None.
      conv_after: convolutions of its outputs, read as rows or pixels of feature maps again, or None.
      read_by: ``rows``: a step sees a row with all its pixels; ``pixels``: it sees one pixel, from left to right
        and then from above to below.
      mirror: whether logits, except in training, are the mean of those of an image and of its mirror image, left to
        right (among what Krizhevsky et al. 2012, section 4.1, average over).
      precision: of float32 products on accelerators, see :func:`rnnjax.precision.matmul_precision`.
    """

    recurrent: nn.Module | None
    head: PooledHead
    conv: nn.Module | None = None
    conv_after: nn.Module | None = None
    read_by: str = "rows"
    mirror: bool = False
    precision: str = "default"

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, height, width, C]`` to logits ``[B, outputs]``."""
        with matmul_precision(self.precision):
            logits = self._logits(inputs, train)
            if self.mirror and not train and not self.is_initializing():
                logits = (logits + self._logits(inputs[:, :, ::-1], train)) / 2
            return logits

    def _logits(self, inputs: Array, train: bool) -> Array:
        inputs = movable(self, "images", inputs)
        if self.conv is not None:
            inputs = self.conv(inputs, train=train)
        if self.recurrent is None:
            return self.head(pixels_as_sequence(inputs), None, train=train)
        by_rows = self.read_by == "rows"
        _, outputs = self.recurrent(rows_as_sequence(inputs) if by_rows else pixels_as_sequence(inputs), train=train)
        if self.conv_after is not None:
            width = inputs.shape[2]
            maps = sequence_as_rows(outputs, width) if by_rows else sequence_as_pixels(outputs, width)
            outputs = pixels_as_sequence(self.conv_after(maps, train=train))
            return self.head(outputs, None, train=train)
        return self.head(outputs, None, train=train, backward=_backward_features(self.head, self.recurrent))


class TextClassifier(nn.Module):
    """Reads a document token by token.

    Attributes:
      vocabulary_size: number of token ids.
      embedding_features: features of an embedding.
      recurrent: an RNN, Bidirectional or StackedRNN over the words, or over what ``conv`` makes of them.
      head: from its outputs to logits.
      embedding_dropout: rate of dropout on embedding features with one mask for all words
        (Gal and Ghahramani 2016, arXiv:1512.05287).
      word_dropout: share of words replaced by the unknown word in training.
      word_dropout_of: ``tokens``: each word of a document is drawn for itself; ``types``: all places where a
        document has the same word are replaced or none (Gal and Ghahramani 2016, section 4.2).
      conv: what comes before the recurrence, or None.
      precision: of float32 products on accelerators, see :func:`rnnjax.precision.matmul_precision`.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    head: PooledHead
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    word_dropout_of: str = "tokens"
    conv: SequenceConvStack | None = None
    precision: str = "default"

    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Array:
        """Token ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, outputs]``."""
        with matmul_precision(self.precision):
            return self._logits(inputs, lengths, train)

    @nn.compact
    def _logits(self, inputs: Array, lengths: Array, train: bool) -> Array:
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        if train and self.word_dropout:
            dropped = _dropped_words(self.make_rng("dropout"), inputs, self.word_dropout, self.word_dropout_of)
            inputs = jnp.where(dropped, UNKNOWN, inputs)
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        words = movable(self, "words", words, mask[..., None])
        if self.conv is not None:
            words, mask = self.conv(words, mask)
            lengths = mask.sum(-1)
        _, outputs = self.recurrent(words, lengths=lengths, train=train)
        return self.head(outputs, mask, train=train, backward=_backward_features(self.head, self.recurrent))


def _backward_features(head: PooledHead, recurrent: nn.Module) -> int:
    """How many of the outputs' last features were read from the end; a layer of another library has none."""
    return getattr(recurrent, "backward_features", 0) if "last" in head.pooling else 0


def _dropped_words(key: Array, ids: Array, rate: float, of: str) -> Array:
    """Which of token ids ``[B, T]`` word dropout replaces, ``[B, T]``."""
    if of == "tokens":
        return jax.random.bernoulli(key, rate, ids.shape)

    def of_document(key: Array, ids: Array) -> Array:
        # A key made of the word itself gives all its places the same draw, without a draw for each word there is.
        return jax.vmap(lambda word: jax.random.bernoulli(jax.random.fold_in(key, word), rate))(ids)

    return jax.vmap(of_document)(jax.random.split(key, ids.shape[0]), ids)

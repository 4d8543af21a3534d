"""The recurrence that writes a sequence, with attention to what an encoder made of a source.

Axes: B batch, T tokens of the target, S steps of the source, F features of its memory, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.attention import ATTENTIONS, Attention, Memory
from rnnjax.layers.movable import movable

Array = jax.Array


class Source(NamedTuple):
    """What a decoder reads of an encoded source; made by :meth:`Decoder.source`.

    Attributes:
      summary: ``[B, F]``, of the whole.
      memory: what an attention looks at; None where there is none.
    """

    summary: Array
    memory: Memory | None


class DecoderStep(nn.Module):
    r"""One step: a token's embedding with what the step before put out (input feeding, Luong et al. 2015, section 3.3).

    .. math:: h_t = cell([e_t; a_{t-1}], h_{t-1}), \quad a_t = \tanh(W [h_t; context(h_t)])

    Without attention the context of every step is the summary of the source (Cho et al. 2014, arXiv:1406.1078).

    Attributes:
      cells: of each layer, the lowest first.
      attention: of which the highest layer's output is the query; None: there is none.
      features: width of :math:`a`.
      dropout: rate on the outputs of each layer but the last, and on :math:`a_t`.
      dtype: of the products.
    """

    cells: Sequence[nn.Module]
    attention: Attention | None
    features: int
    dropout: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(
        self, carry: Any, embedded: Array, source: Source, *, train: bool = False
    ) -> tuple[Any, tuple[Array, Array]]:
        """The carry and ``embedded [B, E]`` give the next carry, ``a [B, features]`` and the weights ``[B, S]``."""
        before, fed = carry
        hidden, after = jnp.concatenate([embedded, fed.astype(embedded.dtype)], -1), []
        for depth, (cell, state) in enumerate(zip(self.cells, before, strict=True)):
            if depth:
                hidden = nn.Dropout(self.dropout)(hidden, deterministic=not train)
            state, hidden = cell(state, hidden)  # pyright: ignore[reportGeneralTypeIssues]
            after.append(state)
        context, weights = source.summary, jnp.zeros((len(hidden), 0))
        if self.attention is not None and source.memory is not None:
            context, weights = self.attention(hidden, source.memory)
        both = jnp.concatenate([hidden, context.astype(hidden.dtype)], -1)
        combined = jnp.tanh(nn.Dense(self.features, dtype=self.dtype, name="combine")(both))
        combined = nn.Dropout(self.dropout)(combined, deterministic=not train)
        return (tuple(after), combined.astype(fed.dtype)), (combined, weights)


class Decoder(nn.Module):
    """Writes a sequence: the logits of each token, after all tokens before it and a source.

    Three ids are special (:mod:`rnnjax.data.tokens`): 0 is padding, and what is read before the first token; 1 is any
    token that the vocabulary has not; 2 ends a sequence. What is written has neither 0 nor 1 before its end.

    Attributes:
      vocabulary_size: number of token ids, V, the three special ones among them.
      embedding_features: features of a token's embedding.
      cell: makes the recurrent cells, as ``cell(features, dtype=dtype)``.
      features: of each layer, the lowest first.
      attention: ``additive``, ``multiplicative`` or ``none``.
      dropout, dtype: as of :class:`DecoderStep`.
      embedding_dropout: rate on embedding features, with one mask for all tokens of a row.
      tied: the logits are products with the tokens' embeddings, as of :class:`rnnjax.RecurrentLM`.
    """

    vocabulary_size: int
    embedding_features: int
    cell: Callable[..., Any]
    features: Sequence[int]
    attention: str = "additive"
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    tied: bool = False
    dtype: Any = None

    def setup(self):
        self.embedding = nn.Embed(
            self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1)
        )
        self.drop_words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))
        self.cells = [self.cell(features, dtype=self.dtype) for features in self.features]
        self.attend = None
        if self.attention != "none":
            self.attend = ATTENTIONS[self.attention](self.features[-1], dtype=self.dtype)
        carries = [cell.initialize_carry(None, (1, 1)) for cell in self.cells]
        self.first = [nn.Dense(leaf.shape[-1], dtype=self.dtype) for leaf in jax.tree.leaves(carries)]
        self.step = DecoderStep(self.cells, self.attend, self.features[-1], self.dropout, dtype=self.dtype)
        if self.tied:
            self.to_embedding = nn.Dense(self.embedding_features)
            self.head_bias = self.param("head_bias", nn.initializers.zeros, (self.vocabulary_size,))
        else:
            self.head = nn.Dense(self.vocabulary_size)

    def source(self, summary: Array, memory: Array, mask: Array | None) -> Source:
        """Prepares an encoded source: its summary ``[B, F]``, and its memory ``[B, S, F]`` with ``mask [B, S]``."""
        return Source(summary, None if self.attend is None else self.attend.memory(memory, mask))

    def first_carry(self, source: Source) -> Any:
        """The carry before the first token, made of the summary of the source."""
        rows = source.summary.shape[0]
        like = [cell.initialize_carry(None, (rows, 1)) for cell in self.cells]
        leaves, tree = jax.tree.flatten(like)
        made = [
            jnp.tanh(dense(source.summary)).astype(leaf.dtype) for dense, leaf in zip(self.first, leaves, strict=True)
        ]
        return tuple(jax.tree.unflatten(tree, made)), jnp.zeros((rows, self.features[-1]), leaves[0].dtype)

    def __call__(self, tokens: Array, carry: Any, source: Source, *, train: bool = False) -> tuple[Any, Array, Array]:
        """Reads ``tokens [B, T]`` and says what follows each: in training all of a target, one by one in decoding.

        Args:
          tokens: ids; the first of a sequence is read after ``PADDING``.
          carry: of :meth:`first_carry`, or of the call before.
          source: of :meth:`source`.
          train: whether dropout is active.

        Returns:
          The carry after the last token, logits ``[B, T, V]`` in float32 or wider, and the attention's weights
          ``[B, T, S]``, or ``[B, T, 0]`` without one.
        """
        words = self.embedding(tokens)
        words = self.drop_words(words, deterministic=not train)
        words = movable(self, "written", words)
        scan = nn.scan(
            lambda step, carry, words: step(carry, words, source, train=train),
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=1,
            out_axes=1,
        )
        carry, (outputs, weights) = scan(self.step, carry, words)
        return carry, self._logits(outputs), weights

    def _logits(self, outputs: Array) -> Array:
        # Sums over a vocabulary need float32, whatever the layers below compute in.
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        if not self.tied:
            return self.head(outputs)
        return self.embedding.attend(self.to_embedding(outputs)) + self.head_bias

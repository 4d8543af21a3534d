"""A source is read, and a target is written of it token by token.

Axes: B batch, S steps of the source, F features of its memory, T tokens of the target, L most tokens that are written,
V tokens of the target's vocabulary.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.data.tokens import PADDING
from rnnjax.errors import UsageError
from rnnjax.layers.masks import sequence_mask
from rnnjax.layers.movable import movable
from rnnjax.layers.pooling import pool
from rnnjax.layers.precision import matmul_precision
from rnnjax.models import decoding
from rnnjax.models.decoder import Decoder, Source

Array = jax.Array


class Encoded(NamedTuple):
    """A source as an encoder gives it.

    Attributes:
      memory: ``[B, S, F]``, what an attention looks at.
      mask: ``[B, S]`` booleans, True at real steps; or lengths ``[B]``, integers; None: all steps are real.
      summary: ``[B, F]``, from which the decoder starts; None: the mean of the memory over real steps.
    """

    memory: Array
    mask: Array | None = None
    summary: Array | None = None


class TokenEncoder(nn.Module):
    """Reads tokens by a recurrence; the summary is what each of its directions has read last.

    Attributes:
      vocabulary_size: number of token ids.
      embedding_features: features of an embedding.
      recurrent: an RNN, Bidirectional or StackedRNN.
      dropout: rate on the memory and on the summary.
      embedding_dropout: rate on embedding features, with one mask for all tokens of a row.
    """

    vocabulary_size: int
    embedding_features: int
    recurrent: nn.Module
    dropout: float = 0.0
    embedding_dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Encoded:
        """Token ids ``[B, S]`` with ``lengths [B]`` to their memory."""
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        words = movable(self, "words", words, mask[..., None])
        _, outputs = self.recurrent(words, lengths=lengths, train=train)
        summary = pool(outputs, mask, "last", backward=getattr(self.recurrent, "backward_features", 0))
        drop = nn.Dropout(self.dropout, deterministic=not train)
        return Encoded(drop(outputs), mask, drop(summary))


class EncoderDecoder(nn.Module):
    """Answers a source with a sequence of tokens (Sutskever et al. 2014; Bahdanau et al. 2015, arXiv:1409.0473).

    In training the target is read as it should be (teacher forcing); else it is written, greedily or by a beam.

    Of target ids three are special (:mod:`rnnjax.data.tokens`): 0 is padding, which the decoder reads before the first
    token; 1 is a token that the vocabulary has not; 2 is the end. Targets begin with their first real token, end with
    2, and are below 0 behind it. What is written ends with 2 too, unless the limit comes first, and has 0 behind it.

    Attributes:
      encoder: any module, called as ``encoder(inputs, lengths=..., train=...)``, without ``lengths`` where the data
        have none. It gives an :class:`Encoded`, a pair ``(memory, mask)`` or ``(memory, lengths)``, or a memory.
      decoder: what writes.
      limit: most tokens that are written, L.
      beam: hypotheses that are kept; 1: the most probable token at each step.
      length_penalty: see :func:`rnnjax.models.decoding.length_penalty`.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    encoder: nn.Module
    decoder: Decoder
    limit: int
    beam: int = 1
    length_penalty: float = 1.0
    precision: str = "default"

    def __call__(
        self, inputs: Any, *, targets: Array | None = None, lengths: Array | None = None, train: bool = False
    ) -> Any:
        """A source, and a target where it is known.

        Args:
          inputs: what the encoder reads, such as ids ``[B, S]``.
          targets: ``[B, T]`` ids, below 0 behind a target's end; none, or T of 0: they are not known.
          lengths: ``[B]``, of the sources.
          train: whether dropout is active, and nothing is written.

        Raises:
          UsageError: if training has no targets, or some that are longer than the limit.

        Returns:
          In training logits ``[B, T, V]``, of each token after those before it. Else by name the ``logits``, where
          there are targets, and what was written: ``tokens [B, L]``, ``score [B]`` and ``weights [B, L, S]``, see
          :class:`rnnjax.models.decoding.Decoded`.
        """
        known = targets is not None and targets.shape[1] > 0
        if train and not known:
            raise UsageError("EncoderDecoder: training needs targets [B, T], the tokens that are to be written")
        if known and (train or self.is_initializing()) and targets.shape[1] > self.limit:  # pyright: ignore
            raise UsageError(
                f"EncoderDecoder: targets have up to {targets.shape[1]} tokens with their end, and limit={self.limit} "  # pyright: ignore
                "are written at most: none so long could be right; give a larger limit"
            )
        with matmul_precision(self.precision):
            source = self.encode(inputs, lengths, train=train)
            logits = self._taught(source, targets, train) if known else None  # pyright: ignore
            if train or self.is_initializing():
                return logits
            written = self._written(source)._asdict()
        return written if logits is None else written | {"logits": logits}

    def encode(self, inputs: Any, lengths: Array | None = None, *, train: bool = False) -> Source:
        """The source as the decoder reads it."""
        given = {} if lengths is None else {"lengths": lengths}
        made = self.encoder(inputs, **given, train=train)
        encoded = Encoded(*made) if isinstance(made, tuple) else Encoded(made)
        memory, mask = encoded.memory, encoded.mask
        if getattr(memory, "ndim", 0) != 3:
            raise UsageError(f"the encoder must give a memory [B, S, F], got {list(getattr(memory, 'shape', []))}")
        lengths_given = mask is not None and mask.ndim == 1
        mask = sequence_mask(memory, mask if lengths_given else None, None if lengths_given else mask)
        summary = pool(memory, mask, "mean") if encoded.summary is None else encoded.summary
        return self.decoder.source(summary, memory, mask)

    def step(self, carry: Any, tokens: Array, source: Source) -> tuple[Any, Array, Array]:
        """One step of decoding, the same as one of training: tokens ``[B]`` to logits ``[B, V]`` and weights."""
        carry, logits, weights = self.decoder(tokens[:, None], carry, source)
        return carry, logits[:, 0], weights[:, 0]

    def _taught(self, source: Source, targets: Array, train: bool) -> Array:
        before = jnp.pad(jnp.maximum(targets, PADDING), ((0, 0), (1, 0)), constant_values=PADDING)[:, :-1]
        return self.decoder(before, self.decoder.first_carry(source), source, train=train)[1]

    def _written(self, source: Source) -> decoding.Decoded:
        carry, rows = self.decoder.first_carry(source), source.summary.shape[0]
        if self.beam > 1:
            carry, source = jax.tree.map(lambda leaf: jnp.repeat(leaf, self.beam, 0), (carry, source))
        module, variables = self.unbind()

        def step(carry: Any, tokens: Array) -> Any:
            return module.apply(variables, carry, tokens, source, method="step")

        if self.beam == 1:
            return decoding.greedy(step, carry, rows, self.limit)
        return decoding.beam_search(step, carry, rows, self.limit, self.beam, self.length_penalty)

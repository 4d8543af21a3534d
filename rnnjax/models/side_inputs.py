"""A classifier of documents that reads, beside each word, what frozen encoders made of the text around it.

Johnson and Zhang 2016 (arXiv:1602.02373, section 3): embeddings of regions are the side inputs of an LSTM that is
trained on classes.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.data.tokens import UNKNOWN
from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.head import PooledHead, backward_features
from rnnjax.models.pretrained import LanguageEncoder
from rnnjax.models.text import dropped_words

Array = jax.Array


class SideInputReader(nn.Module):
    """Reads documents word by word: a trained embedding beside the outputs of an encoder of each direction.

    No gradient reaches the encoders, and they have no dropout: they read as their language models were evaluated.

    Attributes:
      forwards, backwards: the encoders.
      recurrent: an RNN, Bidirectional or StackedRNN over the words and what the encoders made of them.
      head: from its outputs to logits.
      embedding_features: features of the trained embedding.
      embedding_dropout: rate of dropout on its features and on the encoders' outputs, one mask for all words.
      word_dropout, word_dropout_of: as of :class:`rnnjax.TextClassifier`, of what is embedded; encoders read all words.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    without_gradients: ClassVar[tuple[str, ...]] = ("forwards", "backwards")
    """Modules that no gradient reaches: a run must freeze them, see ``--optim.groups``."""
    forwards: LanguageEncoder
    backwards: LanguageEncoder
    recurrent: nn.Module
    head: PooledHead
    embedding_features: int
    embedding_dropout: float = 0.0
    word_dropout: float = 0.0
    word_dropout_of: str = "tokens"
    precision: str = "default"

    def __call__(self, inputs: Array, *, lengths: Array, train: bool = False) -> Array:
        """Token ids ``[B, T]`` with ``lengths [B]`` to logits ``[B, outputs]``."""
        with matmul_precision(self.precision):
            return self._logits(inputs, lengths, train)

    @nn.compact
    def _logits(self, inputs: Array, lengths: Array, train: bool) -> Array:
        mask = jnp.arange(inputs.shape[1]) < lengths[:, None]
        read = inputs
        if train and self.word_dropout:
            dropped = dropped_words(self.make_rng("dropout"), inputs, self.word_dropout, self.word_dropout_of)
            read = jnp.where(dropped, UNKNOWN, inputs)
        embed = nn.Embed(
            self.forwards.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1)
        )
        words = movable(self, "words", embed(read), mask[..., None])
        beside = [outputs_of(encoder, inputs, lengths) for encoder in (self.forwards, self.backwards)]
        vectors = jnp.concatenate([words, *beside], -1)
        vectors = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(vectors, deterministic=not train)
        _, outputs = self.recurrent(vectors, lengths=lengths, train=train)
        return self.head(outputs, mask, train=train, backward=backward_features(self.head, self.recurrent))


def outputs_of(encoder: LanguageEncoder, inputs: Array, lengths: Array) -> Array:
    """What a bound encoder makes of token ids ``[B, T]``, ``[B, T, H]``, without a gradient to its parameters.

    They are held before it reads, and not its outputs after it: so nothing is kept for a backward pass.
    """
    if encoder.is_initializing():
        return encoder(inputs, inputs, lengths, train=False)[0]
    module, variables = encoder.unbind()
    return module.apply(jax.lax.stop_gradient(variables), inputs, inputs, lengths, train=False)[0]

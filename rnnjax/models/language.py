"""Language models: at each step the logits of the token that follows."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.sampled import region_losses, sampled_logits

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

    def __call__(
        self,
        inputs: Array,
        *,
        train: bool = False,
        targets: Array | None = None,
        sampled: int = 0,
        regions: Array | None = None,
    ) -> Array:
        """Token ids ``[B, T]`` to logits ``[B, T, V]`` of the tokens after them, float32 or wider.

        Args:
          inputs: token ids.
          train: whether dropout is on.
          targets: ``[B, T]``, the ids of the tokens after them, where a loss needs no more than a sample of the logits.
          sampled: so many other tokens, S, drawn with the rng ``dropout``.
          regions: ``[B, T, T]``, which of its row's targets each step predicts, where those are several.

        Returns:
          The logits; with ``targets`` those that :func:`rnnjax.models.sampled.sampled_logits` gives, ``[B, T, 1 + S]``;
          with ``regions`` too the losses ``[B, T]`` of :func:`rnnjax.models.sampled.region_losses`.
        """
        with matmul_precision(self.precision):
            return self._logits(inputs, train, targets, sampled, regions)

    @nn.compact
    def _logits(self, inputs: Array, train: bool, targets: Array | None, sampled: int, regions: Array | None) -> Array:
        embed = nn.Embed(self.vocabulary_size, self.embedding_features, embedding_init=nn.initializers.normal(0.1))
        words = embed(inputs)
        words = nn.Dropout(self.embedding_dropout, broadcast_dims=(1,))(words, deterministic=not train)
        words = movable(self, "words", words)
        _, outputs = self.recurrent(words, train=train)
        # Sums over a vocabulary need float32, whatever the layers below compute in.
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
        outputs = nn.Dropout(self.dropout)(outputs, deterministic=not train)
        if not self.tied:
            head = nn.Dense(self.vocabulary_size, name="head")
            if targets is None:
                return head(outputs)
            weights = head.variables["params"]
            return self._of_sample(outputs, weights["kernel"].T, weights["bias"], targets, sampled, regions)
        if outputs.shape[-1] != self.embedding_features:
            outputs = nn.Dense(self.embedding_features, name="to_embedding")(outputs)
        bias = self.param("head_bias", nn.initializers.zeros, (self.vocabulary_size,))
        if targets is not None:
            return self._of_sample(outputs, embed.embedding, bias, targets, sampled, regions)
        return embed.attend(outputs) + bias

    def _of_sample(
        self, outputs: Array, table: Array, bias: Array, targets: Array, sampled: int, regions: Array | None
    ) -> Array:
        key = self.make_rng("dropout")
        if regions is None:
            return sampled_logits(key, outputs, table, bias, targets, sampled)
        return region_losses(key, outputs, table, bias, targets, regions, sampled)

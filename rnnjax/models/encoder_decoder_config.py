"""The section ``model`` of an encoder and decoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive, rate
from rnnjax.models.config import Cell, Dtype, ModelConfig, Precision

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec

AttentionKind = Literal["additive", "multiplicative", "none"]


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderModel(ModelConfig):
    """A sequence of tokens that is read, and another that is written of it token by token.

    Attention is additive (Bahdanau et al. 2015) or multiplicative (Luong et al. 2015); without one the decoder sees
    nothing but a summary of the source, what each direction of the encoder has read last.
    """

    kind: ClassVar[str] = "encoder_decoder"
    cell: Cell = "lstm"
    """Recurrent cell of both; in Python, also a class of one's own."""
    encoder_features: tuple[int, ...] = (128,)
    """Hidden features of each layer of the encoder, in each direction."""
    bidirectional: bool = option(True, rare=True, off="Read each source forwards only.")
    """Read each source in both directions."""
    features: tuple[int, ...] = (256,)
    """Hidden features of each layer of the decoder."""
    attention: AttentionKind = "additive"
    """How the decoder looks at the source."""
    embedding_features: int = 128
    """Features of a token's embedding, on both sides."""
    dropout: float = 0.0
    """Dropout rate on the outputs of encoder and decoder, and between layers."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features, one mask for a sequence."""
    tied: bool = option(False, rare=True, off="Give the logits weights of their own.")
    """The logits are products with the target tokens' embeddings."""
    dtype: Dtype = option("float32", rare=True)
    """Dtype of the layers' computation; parameters, logits and loss are float32."""
    precision: Precision = option("default", rare=True)
    """Precision of float32 products on accelerators, in training and in all uses of the trained model."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.models.encoder_decoder.EncoderDecoder`."""
        from rnnjax.models.build import encoder_decoder_model

        return encoder_decoder_model(self, spec, width)

    def __post_init__(self):
        for name in ("encoder_features", "features"):
            given = getattr(self, name)
            check(bool(given) and min(given) > 0, self, name, "positive, at least one layer")
        positive(self, "embedding_features")
        for name in ("dropout", "embedding_dropout"):
            rate(self, name)
        if not isinstance(self.cell, type):
            choice(self, "cell", Cell)
        choice(self, "attention", AttentionKind)
        choice(self, "dtype", Dtype)
        choice(self, "precision", Precision)

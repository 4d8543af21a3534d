"""The section ``model`` of a reader with frozen side inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rnnjax.config.checks import check, choice, option, positive, rate
from rnnjax.models.config import Pooling, RecurrentModel, WordDropout

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec


@dataclass(frozen=True, kw_only=True)
class SideInputTextModel(RecurrentModel):
    """A document read word by word, each word's embedding beside what two frozen encoders make of the text around it.

    The encoders are those of two language models, one of each direction, each with embeddings of its own that are as
    wide as its last layer. They must be frozen (--optim.groups '^(forwards|backwards)=0') and read without dropout.
    """

    kind: ClassVar[str] = "side_input_text"
    language_models: ClassVar[Mapping[str, bool]] = {"forwards": False, "backwards": True}
    """Modules that language models fill, and whether each reads from a document's end."""
    bidirectional: bool = option(True, off="Read the words and the encoders' outputs forwards only.")
    """Read the words and the encoders' outputs in both directions."""
    pooling: tuple[Pooling, ...] = ("max",)
    """What the classifier sees of a document."""
    encoder_features: tuple[int, ...] = (256,)
    """Hidden features of each layer of the encoders."""
    embedding_features: int = 128
    """Features of a word's trained embedding."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features and the encoders' outputs, one mask for all tokens of a document."""
    word_dropout: float = 0.0
    """Share of training tokens whose embedding is the unknown one's."""
    word_dropout_of: WordDropout = option("tokens", rare=True)
    """What is replaced: each token for itself, or all occurrences of it in a document."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.models.side_inputs.SideInputReader`."""
        from rnnjax.models.build import side_input_reader

        return side_input_reader(self, spec, width)

    def __post_init__(self):
        super().__post_init__()
        enough = min(self.encoder_features, default=0) > 0
        check(enough, self, "encoder_features", "positive, at least one layer")
        positive(self, "embedding_features")
        rate(self, "embedding_dropout")
        rate(self, "word_dropout")
        choice(self, "word_dropout_of", WordDropout)

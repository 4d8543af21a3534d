"""The section ``model``: what is trained. Each makes its module; Flax is imported when it does."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive, rate
from rnnjax.errors import UsageError
from rnnjax.layers.cell_names import CELL_CLASSES

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec

    Cell = str
else:
    Cell = Literal[tuple(CELL_CLASSES)]

Dtype = Literal["float32", "bfloat16"]
Precision = Literal["default", "highest", "tensorfloat32", "bfloat16"]
Pooling = Literal["last", "mean", "max", "attention"]
ReadBy = Literal["rows", "pixels"]
WordDropout = Literal["tokens", "types"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What is trained. A model of one's own overrides :meth:`build`, or is a Linen module in place of this section."""

    section: ClassVar[str] = "model"

    def build(self, spec: "Spec", width: int) -> Any:
        """The Linen module.

        Args:
          spec: what goes in and is to come out.
          width: outputs of the head, as the task wants them.
        """
        raise UsageError(f"{type(self).__name__} must say by build(spec, width) what module it is")


@dataclass(frozen=True, kw_only=True)
class RecurrentModel(ModelConfig):
    """What image and text classifiers share: a stack of recurrent layers and a pooled head.

    Pooling by attention is a mean of all steps, weighed by what is learned of each (Yang et al. 2016).

    A cell of one's own is a class, made as ``Cell(features, dtype=dtype)``. A dtype of bfloat16 is for accelerators: a
    CPU is slower with it.

    Of the precisions, highest is float32; tensorfloat32 is TF32 on NVIDIA GPUs and three passes of bfloat16 on TPUs;
    bfloat16 is the fastest, TF32 on NVIDIA GPUs and one pass of bfloat16 on TPUs. default is JAX's own, which is the
    fastest too unless JAX_DEFAULT_MATMUL_PRECISION names another. A CPU computes in float32 in any case.
    """

    least_layers: ClassVar[int] = 1
    cell: Cell = "lstm"
    """Recurrent cell; in Python, also a class of one's own."""
    features: tuple[int, ...] = (128,)
    """Hidden features of each layer, in each direction."""
    bidirectional: bool = option(False, off="Read each sequence forwards only.")
    """Read each sequence in both directions."""
    dropout: float = 0.0
    """Dropout rate between layers and before the classifier."""
    pooling: tuple[Pooling, ...] = ("last",)
    """What the classifier sees of a sequence."""
    dtype: Dtype = option("float32", rare=True)
    """Dtype of the layers' computation; parameters, logits and loss are float32."""
    precision: Precision = option("default", rare=True)
    """Precision of float32 products on accelerators, in training and in all uses of the trained model."""
    dense: tuple[int, ...] = option((), rare=True)
    """Features of hidden layers before the logits, with ReLU."""
    blocks: bool = option(False, rare=True, off="Put the layers one above the other as they are.")
    """Pre-norm residual blocks: a layer norm before each recurrence, a gated linear layer behind it, sums around."""

    def __post_init__(self):
        enough = len(self.features) >= self.least_layers and min(self.features, default=1) > 0
        check(enough, self, "features", "positive, at least one layer")
        rate(self, "dropout")
        if not isinstance(self.cell, type):
            choice(self, "cell", Cell)
        choice(self, "dtype", Dtype)
        choice(self, "precision", Precision)
        kinds = typing.get_args(Pooling)
        known = bool(self.pooling) and set(self.pooling) <= set(kinds)
        check(known, self, "pooling", f"at least one of {', '.join(kinds)}")
        check(all(features > 0 for features in self.dense), self, "dense", "positive numbers of features")


@dataclass(frozen=True, kw_only=True)
class ImageModel(RecurrentModel):
    """An image, or the feature maps that convolutions make of it, read row by row or pixel by pixel.

    Without layers (``features=()``) nothing recurs: the classifier sees the feature maps pooled over all pixels.

    The convolutions after the recurrence see the outputs at a row as that row of feature maps again, so that the
    recurrent features must be a multiple of its width (not so by pixels); the classifier pools over all pixels.

    Pooling early is after the first of so many convolutions, before batch norm and ReLU, instead of after the last: the
    others then cost a fourth. Of convolutions that are left over at the end, the first is pooled too.
    """

    kind: ClassVar[str] = "image"
    least_layers: ClassVar[int] = 0
    read_by: ReadBy = "rows"
    """What a step of the recurrence sees."""
    conv: tuple[int, ...] = ()
    """Channels of 3x3 convolutions before it."""
    conv_after: tuple[int, ...] = option((), rare=True)
    """Channels of 3x3 convolutions after it."""
    convs_per_pool: int = option(1, rare=True)
    """There is a 2x2 max pooling after every this many convolutions; 0 pools nothing."""
    pool_early: bool = option(False, rare=True, off="Pool after the last of so many convolutions.")
    """Pool after the first of so many convolutions instead of after the last."""
    batch_norm: bool = option(False, off="Normalise no convolution's outputs.")
    """Normalise each convolution's outputs over the batch."""
    mirror: bool = option(False, rare=True, off="Answer to an image alone, not to its mirror image too.")
    """Evaluate and predict with the mean of the logits of an image and of its mirror image."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.ImageClassifier`."""
        from rnnjax.models.build import image_model

        return image_model(self, spec, width)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "read_by", ReadBy)
        for name in ("conv", "conv_after"):
            check(all(c > 0 for c in getattr(self, name)), self, name, "positive numbers of channels")
        check(self.convs_per_pool >= 0, self, "convs_per_pool", "0 or more")
        check(bool(self.features or self.conv), self, "features", "positive, at least one layer")
        if not self.features:
            check(not self.conv_after, self, "conv_after", "empty where there is no recurrent layer")
        if self.conv_after or not self.features:
            known = "last" not in self.pooling
            check(known, self, "pooling", "of mean, max and attention over pixels: there is no last pixel")


@dataclass(frozen=True, kw_only=True)
class TextModel(RecurrentModel):
    """A document read token by token, after an optional stack of convolutions.

    Where the data have a class at each token there is an answer at each, and nothing is pooled.

    An embedding's dropout has one mask for all tokens of a document. Word dropout replaces each token for itself
    (tokens), or all occurrences in a document or none (types), so that a name which it repeats cannot be learned by
    heart from the others.
    """

    kind: ClassVar[str] = "text"
    embedding_features: int = 128
    """Features of a token's embedding."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features."""
    word_dropout: float = 0.0
    """Share of training tokens replaced by the unknown one."""
    word_dropout_of: WordDropout = option("tokens", rare=True)
    """What is replaced: each token for itself, or all occurrences of it in a document."""
    conv: tuple[int, ...] = ()
    """Channels of convolutions before the recurrence."""
    conv_kernel: int = option(5, rare=True)
    """Tokens that a kernel of these convolutions sees."""
    conv_pool: int = option(4, rare=True)
    """Window and stride of the max pooling after each of them, in steps; 1 pools nothing."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.TextClassifier`."""
        from rnnjax.models.build import text_model

        return text_model(self, spec, width)

    def __post_init__(self):
        super().__post_init__()
        for name in ("embedding_features", "conv_kernel", "conv_pool"):
            positive(self, name)
        check(all(c > 0 for c in self.conv), self, "conv", "positive numbers of channels")
        rate(self, "embedding_dropout")
        rate(self, "word_dropout")
        choice(self, "word_dropout_of", WordDropout)


@dataclass(frozen=True, kw_only=True)
class PretrainedTextModel(RecurrentModel):
    """A document read by the encoders of two language models, one of each direction, each with embeddings of its own.

    Embeddings are as wide as the last layer is; word dropout is as of the text model.
    """

    kind: ClassVar[str] = "pretrained_text"
    language_models: ClassVar[Mapping[str, bool]] = {"forwards": False, "backwards": True}
    """Modules that begin from a language model each, and whether that reads from a text's end."""
    bidirectional: bool = option(True, offered=False)
    """Not used: it reads in both directions."""
    blocks: bool = option(False, offered=False)
    """Not used: the layers are those of the language models."""
    features: tuple[int, ...] = (256,)
    """Hidden features of each layer, in each direction."""
    pooling: tuple[Pooling, ...] = ("mean", "max", "last")
    """What the classifier sees of a document."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features, one mask for all tokens of a document."""
    word_dropout: float = 0.0
    """Share of training tokens replaced by the unknown one."""
    word_dropout_of: WordDropout = option("tokens", rare=True)
    """What is replaced: each token for itself, or all occurrences of it in a document."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.models.pretrained.PretrainedReader`."""
        from rnnjax.models.build import pretrained_reader

        return pretrained_reader(self, spec, width)

    def __post_init__(self):
        super().__post_init__()
        rate(self, "embedding_dropout")
        rate(self, "word_dropout")
        choice(self, "word_dropout_of", WordDropout)


@dataclass(frozen=True, kw_only=True)
class SequenceModel(RecurrentModel):
    """A numeric sequence read step by step, after an optional stack of convolutions over time.

    Where the data have a class at each step there is an answer at each, and nothing is pooled.
    """

    kind: ClassVar[str] = "sequence"
    cell: Cell = "gru"
    """Recurrent cell; in Python, also a class of one's own."""
    conv: tuple[int, ...] = ()
    """Channels of convolutions before the recurrence."""
    conv_kernel: int = option(5, rare=True)
    """Steps that a kernel of these convolutions sees."""
    conv_pool: int = option(2, rare=True)
    """Window and stride of the max pooling after each of them, in steps; 1 pools nothing."""
    batch_norm: bool = option(False, rare=True, off="Normalise no convolution's outputs.")
    """Normalise each convolution's outputs over the steps of a batch."""
    instance_norm: bool = option(False, rare=True, off="Leave a sequence's own mean and deviation in it.")
    """Each channel has mean 0 and variance 1 over the sequence: what colours all of it is removed."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.models.sequence.SequenceNet`."""
        from rnnjax.models.build import sequence_model

        return sequence_model(self, spec, width)

    def __post_init__(self):
        super().__post_init__()
        for name in ("conv_kernel", "conv_pool"):
            positive(self, name)
        check(all(c > 0 for c in self.conv), self, "conv", "positive numbers of channels")
        alone = self.batch_norm and not self.conv
        check(not alone, self, "batch_norm", "left out where there are no convolutions, --model.conv")


@dataclass(frozen=True, kw_only=True)
class LanguageModel(ModelConfig):
    """A text read token by token, with the token that follows as the answer to each.

    Its recurrence goes on from batch to batch (--data.window tokens are a batch's), so that a token is read with all
    that precedes it in its stream; gradients end at the window's first token.

    A weight dropout is DropConnect on the recurrent kernels, one mask a batch (Merity et al. 2018).
    """

    kind: ClassVar[str] = "language"
    cell: Cell = "lstm"
    """Recurrent cell; in Python, also a class of one's own."""
    features: tuple[int, ...] = (512, 512)
    """Hidden features of each layer."""
    embedding_features: int = 128
    """Features of a token's embedding."""
    dropout: float = 0.0
    """Dropout rate between layers and before the logits."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features, one mask for a window."""
    weight_dropout: float = 0.0
    """Dropout rate on recurrent kernels."""
    blocks: bool = option(False, rare=True)
    """Pre-norm residual blocks: a layer norm before each recurrence, a gated linear layer behind it, sums around."""
    tied: bool = option(False, off="Give the logits weights of their own.")
    """The logits are products with the tokens' embeddings."""
    dtype: Dtype = option("float32", rare=True)
    """Dtype of the layers' computation; parameters, logits and loss are float32."""
    precision: Precision = option("default", rare=True)
    """Precision of float32 products on accelerators, in training and in all uses of the trained model."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.RecurrentLM`."""
        from rnnjax.models.build import language_model

        return language_model(self, spec, width)

    def __post_init__(self):
        check(bool(self.features) and min(self.features) > 0, self, "features", "positive, at least one layer")
        positive(self, "embedding_features")
        for name in ("dropout", "embedding_dropout", "weight_dropout"):
            rate(self, name)
        if not isinstance(self.cell, type):
            choice(self, "cell", Cell)
        choice(self, "dtype", Dtype)
        choice(self, "precision", Precision)

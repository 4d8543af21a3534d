"""The section ``model``: what is trained. Each makes its module; Flax is imported when it does."""

import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, positive, rate
from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec

# fmt: off
Cell = Literal[
    "simple_rnn", "lstm", "peephole_lstm", "projected_lstm", "coupled_lstm", "layer_norm_lstm",
    "gru", "reset_before_gru", "layer_norm_gru", "min_gru", "lru",
]
# fmt: on
"""The names of :data:`rnnjax.layers.cells.CELLS`."""
Dtype = Literal["float32", "bfloat16"]
Precision = Literal["default", "highest", "tensorfloat32", "bfloat16"]
Pooling = Literal["last", "mean", "max"]
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
    """What image and text classifiers share: a stack of recurrent layers and a pooled head."""

    least_layers: ClassVar[int] = 1
    cell: Cell = "lstm"
    """Recurrent cell. In Python it may be a class of one's own in its place, made as Cell(features, dtype=dtype)."""
    features: tuple[int, ...] = (128,)
    """Hidden features of each layer (of each direction, if bidirectional), lowest layer first."""
    bidirectional: bool = False
    """Read each sequence in both directions and concatenate."""
    dropout: float = 0.0
    """Dropout rate between layers and before the classifier."""
    pooling: tuple[Pooling, ...] = ("last",)
    """What the classifier sees of the outputs over real steps; several are concatenated."""
    dtype: Dtype = "float32"
    """Dtype of the layers' computation; parameters, logits and loss are float32 in any case. bfloat16 is for
    accelerators: a CPU is slower with it."""
    precision: Precision = "default"
    """Precision of float32 products of matrices and convolutions on accelerators, in training and in all uses of
    the trained model: highest is float32; tensorfloat32 is TF32 on NVIDIA GPUs and three passes of bfloat16 on TPUs;
    bfloat16 is the fastest, TF32 on NVIDIA GPUs and one pass of bfloat16 on TPUs. default is JAX's own, which is the
    fastest too unless JAX_DEFAULT_MATMUL_PRECISION names another. A CPU computes in float32 in any case."""
    dense: tuple[int, ...] = ()
    """Features of hidden layers between the pooled outputs and the logits, each followed by ReLU."""

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
    """

    kind: ClassVar[str] = "image"
    least_layers: ClassVar[int] = 0
    read_by: ReadBy = "rows"
    """What a step of the recurrence sees: rows, a whole row; pixels, one pixel after the other, row by row."""
    conv: tuple[int, ...] = ()
    """Channels of the 3x3 convolutions before the recurrence, each followed by ReLU."""
    conv_after: tuple[int, ...] = ()
    """Channels of 3x3 convolutions after it. They see the outputs at a row as that row of feature maps again, so
    that the recurrent features must be a multiple of its width (not so by pixels); the classifier pools over all
    pixels."""
    convs_per_pool: int = 1
    """There is a 2x2 max pooling after every this many convolutions; 0 pools nothing."""
    pool_early: bool = False
    """Pool after the first of so many convolutions, before batch norm and ReLU, instead of after the last: the others
    then cost a fourth. Of convolutions that are left over at the end, the first is pooled too."""
    batch_norm: bool = False
    """Whether each convolution's outputs are normalised over the batch before ReLU."""
    mirror: bool = False
    """Whether evaluation and prediction take the mean of the logits of an image and of its mirror image (left and
    right exchanged)."""

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
            check(known, self, "pooling", "of mean and max over pixels: there is no last pixel")


@dataclass(frozen=True, kw_only=True)
class TextModel(RecurrentModel):
    """A document read token by token, after an optional stack of convolutions."""

    kind: ClassVar[str] = "text"
    embedding_features: int = 128
    """Features of a token's embedding."""
    embedding_dropout: float = 0.0
    """Dropout rate on embedding features, one mask for all tokens of a document."""
    word_dropout: float = 0.0
    """Share of tokens that are replaced by the unknown one in training."""
    word_dropout_of: WordDropout = "tokens"
    """tokens: each token is drawn for itself; types: a document loses all occurrences of a token or none, so that a
    name which it repeats cannot be learned by heart from the others."""
    conv: tuple[int, ...] = ()
    """Channels of the convolutions over time before the recurrence, each followed by ReLU and max pooling."""
    conv_kernel: int = 5
    """Tokens that a kernel of these convolutions sees."""
    conv_pool: int = 4
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

"""From a model's configuration to a Linen module."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.config import ImageModel, RecurrentModel, TextModel
from rnnjax.data import Preprocess, TextPreprocess
from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, RecurrentCell, SimpleRNNCell
from rnnjax.layers.conv import ConvStack, SequenceConvStack
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from rnnjax.models.head import PooledHead
from rnnjax.models.image import ImageClassifier
from rnnjax.models.text import TextClassifier

CELLS: dict[str, Callable[..., RecurrentCell]] = {"simple_rnn": SimpleRNNCell, "lstm": LSTMCell, "gru": GRUCell}

# None keeps to the inputs' and the parameters' own, which is float32.
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def build_model(config: RecurrentModel, preprocess: Preprocess, axis_name: str | None = "batch") -> nn.Module:
    """The classifier that a configuration describes, for the inputs and classes of a preprocessing.

    Two classes of text get a single logit, everything else one logit a class.

    Args:
      config: the model.
      preprocess: of its inputs.
      axis_name: mapped axis of the devices over which a training batch is split, for batch norm's
        statistics; None where there is no such axis. Evaluation and prediction need none.

    Raises:
      UsageError: if the configuration is not for this kind of input.
    """
    classes = len(preprocess.class_names)
    if isinstance(config, TextModel) and isinstance(preprocess, TextPreprocess):
        return TextClassifier(
            vocabulary_size=len(preprocess.vocabulary),
            embedding_features=config.embedding_features,
            recurrent=_stack(config),
            head=PooledHead(1 if classes == 2 else classes, config.pooling, config.dropout, config.dense),
            embedding_dropout=config.embedding_dropout,
            word_dropout=config.word_dropout,
            word_dropout_of=config.word_dropout_of,
            conv=SequenceConvStack(config.conv, config.conv_kernel, config.conv_pool, DTYPES[config.dtype])
            if config.conv
            else None,
            precision=config.precision,
        )
    if isinstance(config, ImageModel) and not isinstance(preprocess, TextPreprocess):
        return ImageClassifier(
            recurrent=_stack(config) if config.features else None,
            head=PooledHead(classes, config.pooling, config.dropout, config.dense),
            conv=_convolutions(config, config.conv, axis_name),
            conv_after=_convolutions(config, config.conv_after, axis_name),
            read_by=config.read_by,
            mirror=config.mirror,
            precision=config.precision,
        )
    raise UsageError(f"{type(config).__name__} does not fit {type(preprocess).__name__}")


def _convolutions(config: ImageModel, channels: Sequence[int], axis_name: str | None) -> ConvStack | None:
    if not channels:
        return None
    return ConvStack(
        channels,
        pool=2 if config.convs_per_pool else 1,
        convs_per_pool=max(config.convs_per_pool, 1),
        pool_early=config.pool_early,
        batch_norm=config.batch_norm,
        axis_name=axis_name,
        dtype=DTYPES[config.dtype],
    )


def _stack(config: RecurrentModel) -> StackedRNN:
    cell = functools.partial(CELLS[config.cell], dtype=DTYPES[config.dtype])

    def layer(features: int) -> nn.Module:
        if config.bidirectional:
            return Bidirectional(RNN(cell(features)), RNN(cell(features), reverse=True))
        return RNN(cell(features))

    return StackedRNN([layer(features) for features in config.features], config.dropout)

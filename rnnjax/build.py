"""From a model's configuration to a Linen module."""

from collections.abc import Callable

import flax.linen as nn

from rnnjax.cells import GRUCell, LSTMCell, RecurrentCell, SimpleRNNCell
from rnnjax.config import ImageModel, RecurrentModel, TextModel
from rnnjax.conv import ConvStack, SequenceConvStack
from rnnjax.data import Preprocess, TextPreprocess
from rnnjax.errors import UsageError
from rnnjax.models import ImageClassifier, PooledHead, TextClassifier
from rnnjax.recurrence import RNN, Bidirectional, StackedRNN

CELLS: dict[str, Callable[..., RecurrentCell]] = {"simple_rnn": SimpleRNNCell, "lstm": LSTMCell, "gru": GRUCell}


def build_model(config: RecurrentModel, preprocess: Preprocess) -> nn.Module:
    """The classifier that a configuration describes, for the inputs and classes of a preprocessing.

    Two classes of text get a single logit, everything else one logit a class.

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
            conv=SequenceConvStack(config.conv, config.conv_kernel, config.conv_pool) if config.conv else None,
        )
    if isinstance(config, ImageModel) and not isinstance(preprocess, TextPreprocess):
        return ImageClassifier(
            recurrent=_stack(config),
            head=PooledHead(classes, config.pooling, config.dropout, config.dense),
            conv=ConvStack(config.conv) if config.conv else None,
        )
    raise UsageError(f"{type(config).__name__} does not fit {type(preprocess).__name__}")


def _stack(config: RecurrentModel) -> StackedRNN:
    cell = CELLS[config.cell]

    def layer(features: int) -> nn.Module:
        if config.bidirectional:
            return Bidirectional(RNN(cell(features)), RNN(cell(features), reverse=True))
        return RNN(cell(features))

    return StackedRNN([layer(features) for features in config.features], config.dropout)

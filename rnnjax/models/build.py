"""From a model's configuration to a Linen module."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.data.spec import Spec
from rnnjax.errors import UsageError
from rnnjax.layers.carried import Carried
from rnnjax.layers.cells import CELLS
from rnnjax.layers.conv import ConvStack, SequenceConvStack
from rnnjax.layers.gated import GatedLinear
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from rnnjax.models import pretrained
from rnnjax.models.config import (
    ImageModel,
    LanguageModel,
    PretrainedTextModel,
    RecurrentModel,
    SequenceModel,
    TextModel,
)
from rnnjax.models.decoder import Decoder
from rnnjax.models.encoder_decoder import EncoderDecoder, TokenEncoder
from rnnjax.models.encoder_decoder_config import EncoderDecoderModel
from rnnjax.models.forecast import SegmentForecaster
from rnnjax.models.forecast_config import ForecastModel, segment_of
from rnnjax.models.head import PooledHead, StepHead
from rnnjax.models.image import ImageClassifier, MirroredImageClassifier
from rnnjax.models.language import RecurrentLM
from rnnjax.models.sequence import SequenceNet
from rnnjax.models.side_inputs import SideInputReader
from rnnjax.models.side_inputs_config import SideInputTextModel
from rnnjax.models.text import TextClassifier

AXIS = "batch"
"""Mapped axis of the devices over which a training batch is split, for batch norm's statistics."""

# None keeps to the inputs' and the parameters' own, which is float32.
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def text_model(config: TextModel, spec: Spec, width: int) -> nn.Module:
    """A classifier of documents; raises UsageError where the inputs are no tokens."""
    if not spec.vocabulary:
        raise UsageError(_misfit(config, spec, "token ids"))
    return TextClassifier(
        vocabulary_size=spec.vocabulary,
        embedding_features=config.embedding_features,
        recurrent=_stack(config),
        head=_head(config, spec, width),
        embedding_dropout=config.embedding_dropout,
        word_dropout=config.word_dropout,
        word_dropout_of=config.word_dropout_of,
        conv=SequenceConvStack(config.conv, config.conv_kernel, config.conv_pool, DTYPES[config.dtype])
        if config.conv
        else None,
        precision=config.precision,
    )


def pretrained_reader(config: PretrainedTextModel, spec: Spec, width: int) -> nn.Module:
    """A classifier out of two language models; raises UsageError where the inputs are no documents."""
    if not spec.vocabulary or set(spec.inputs) != {"inputs", "lengths"}:
        raise UsageError(_misfit(config, spec, "documents of token ids with lengths"))
    encoder = functools.partial(_encoder, config, spec, config.features, config.dropout, config.embedding_dropout)
    return pretrained.PretrainedReader(
        forwards=encoder(reverse=False),
        backwards=encoder(reverse=True),
        head=PooledHead(width, config.pooling, config.dropout, config.dense),
        word_dropout=config.word_dropout,
        word_dropout_of=config.word_dropout_of,
        precision=config.precision,
    )


def side_input_reader(config: SideInputTextModel, spec: Spec, width: int) -> nn.Module:
    """A classifier beside two frozen encoders; raises UsageError where the inputs are no documents."""
    if not spec.vocabulary or set(spec.inputs) != {"inputs", "lengths"}:
        raise UsageError(_misfit(config, spec, "documents of token ids with lengths"))
    encoder = functools.partial(_encoder, config, spec, config.encoder_features)
    return SideInputReader(
        forwards=encoder(reverse=False),
        backwards=encoder(reverse=True),
        recurrent=_stack(config),
        head=PooledHead(width, config.pooling, config.dropout, config.dense),
        embedding_features=config.embedding_features,
        embedding_dropout=config.embedding_dropout,
        word_dropout=config.word_dropout,
        word_dropout_of=config.word_dropout_of,
        precision=config.precision,
    )


def _encoder(
    config: PretrainedTextModel | SideInputTextModel,
    spec: Spec,
    features: Sequence[int],
    dropout: float = 0.0,
    embedding_dropout: float = 0.0,
    *,
    reverse: bool,
) -> pretrained.LanguageEncoder:
    """What a language model of one direction reads with, the embeddings as wide as the last layer."""
    layers = [RNN(_cell(config)(each), reverse=reverse) for each in features]
    return pretrained.LanguageEncoder(
        vocabulary_size=spec.vocabulary,
        embedding_features=features[-1],
        recurrent=StackedRNN(layers, dropout),
        embedding_dropout=embedding_dropout,
        reverse=reverse,
    )


def sequence_model(config: SequenceModel, spec: Spec, width: int) -> nn.Module:
    """A model of numeric sequences; raises UsageError where the inputs are none ``[B, T, D]`` with lengths."""
    if spec.vocabulary or set(spec.inputs) != {"inputs", "lengths"} or len(spec.inputs["inputs"].shape) != 3:
        raise UsageError(_misfit(config, spec, "numeric sequences [B, T, channels] with lengths"))
    return SequenceNet(
        recurrent=_stack_of_numbers(config),
        head=_head(config, spec, width),
        conv=_convolutions_over_time(config) if config.conv else None,
        precision=config.precision,
        instance_norm=config.instance_norm,
    )


def image_model(config: ImageModel, spec: Spec, width: int) -> nn.Module:
    """A classifier of images; raises UsageError where the inputs are none ``[B, height, width, C]``."""
    if set(spec.inputs) != {"inputs"} or len(spec.inputs["inputs"].shape) != 4:
        raise UsageError(_misfit(config, spec, "images [B, height, width, channels]"))
    kind = MirroredImageClassifier if config.mirror else ImageClassifier
    return kind(
        recurrent=_stack_of_numbers(config) if config.features else None,
        head=PooledHead(width, config.pooling, config.dropout, config.dense),
        conv=_convolutions(config, config.conv),
        conv_after=_convolutions(config, config.conv_after),
        read_by=config.read_by,
        precision=config.precision,
    )


def language_model(config: LanguageModel, spec: Spec, width: int) -> nn.Module:
    """A language model; raises UsageError where the inputs are no windows of tokens."""
    if not spec.vocabulary or set(spec.inputs) != {"inputs"}:
        raise UsageError(_misfit(config, spec, "windows of token ids"))
    if width != spec.vocabulary:
        raise UsageError(
            f"{type(config).__name__} predicts the tokens that it reads; these data have {spec.vocabulary} token ids, "
            f"but {width} outputs"
        )
    layers = [RNN(_cell(config)(features), weight_dropout=config.weight_dropout) for features in config.features]
    stack = _blocks(layers, config) if config.blocks else StackedRNN(layers, config.dropout)
    return RecurrentLM(
        vocabulary_size=width,
        embedding_features=config.embedding_features,
        recurrent=Carried(stack),
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        tied=config.tied,
        precision=config.precision,
    )


def encoder_decoder_model(config: EncoderDecoderModel, spec: Spec, width: int) -> nn.Module:
    """An encoder and decoder of tokens; raises UsageError where the data are no tokens with targets that are some."""
    if not spec.vocabulary or set(spec.inputs) != {"inputs", "lengths", "targets"}:
        raise UsageError(_misfit(config, spec, "token ids with lengths and the targets that are to be written of them"))
    cell = _cell(config)
    encoder = TokenEncoder(
        vocabulary_size=spec.vocabulary,
        embedding_features=config.embedding_features,
        recurrent=StackedRNN(_layers(cell, config.encoder_features, config.bidirectional), config.dropout),
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
    )
    decoder = Decoder(
        vocabulary_size=width,
        embedding_features=config.embedding_features,
        cell=cell.func,
        features=config.features,
        attention=config.attention,
        dropout=config.dropout,
        embedding_dropout=config.embedding_dropout,
        tied=config.tied,
        dtype=DTYPES[config.dtype],
    )
    return EncoderDecoder(encoder, decoder, limit=spec.inputs["targets"].shape[1], precision=config.precision)


def forecast_model(config: ForecastModel, spec: Spec, width: int) -> nn.Module:
    """A forecaster; raises UsageError where the inputs are no windows of a series."""
    like = spec.inputs.get("inputs")
    if like is None or set(spec.inputs) != {"inputs"} or len(like.shape) != 3 or spec.vocabulary:
        raise UsageError(_misfit(config, spec, "windows [B, rows, columns]"))
    look_back, quantiles = like.shape[1], width // spec.outputs
    if config.segment > look_back:
        raise UsageError(f"--model.segment must be at most the look-back of {look_back} rows, got {config.segment}")
    return SegmentForecaster(
        recurrent=RNN(_cell(config)(config.features)),
        features=config.features,
        segment=config.segment or segment_of(look_back),
        horizon=spec.outputs,
        quantiles=quantiles if quantiles > 1 else 0,
        dropout=config.dropout,
        precision=config.precision,
    )


def _head(config: TextModel | SequenceModel, spec: Spec, width: int) -> PooledHead | StepHead:
    """Of a whole sequence, or where the data have a class at each step, of each; raises UsageError if some are lost."""
    if not spec.per_step:
        return PooledHead(width, config.pooling, config.dropout, config.dense)
    if config.conv and config.conv_pool > 1:
        raise UsageError("an answer at each step needs all steps: give --model.conv-pool 1, or no --model.conv")
    return StepHead(width, config.dropout, config.dense)


def _misfit(config: Any, spec: Spec, wanted: str) -> str:
    there = ", ".join(f"{name} {list(like.shape)} of {like.dtype.name}" for name, like in spec.inputs.items())
    return f"{type(config).__name__} reads {wanted}; these data have {there}"


def _convolutions(config: ImageModel, channels: Sequence[int]) -> ConvStack | None:
    if not channels:
        return None
    return ConvStack(
        channels,
        pool=2 if config.convs_per_pool else 1,
        convs_per_pool=max(config.convs_per_pool, 1),
        pool_early=config.pool_early,
        batch_norm=config.batch_norm,
        axis_name=AXIS,
        dtype=DTYPES[config.dtype],
    )


def _convolutions_over_time(config: SequenceModel) -> SequenceConvStack:
    return SequenceConvStack(
        config.conv,
        config.conv_kernel,
        config.conv_pool,
        DTYPES[config.dtype],
        batch_norm=config.batch_norm,
        axis_name=AXIS,
    )


def _cell(config: RecurrentModel | LanguageModel | ForecastModel | EncoderDecoderModel) -> Any:
    kind = CELLS[config.cell] if isinstance(config.cell, str) else config.cell
    return functools.partial(kind, dtype=DTYPES[config.dtype])


def _stack(config: RecurrentModel) -> StackedRNN:
    layers = _layers(_cell(config), config.features, config.bidirectional)
    return _blocks(layers, config) if config.blocks else StackedRNN(layers, config.dropout)


def _stack_of_numbers(config: RecurrentModel) -> StackedRNN:
    """That over channels of numbers: blocks begin with what a linear layer makes of them, as they do with an embedding.

    A layer norm of few channels would leave little of them, of one nothing.
    """
    stack = _stack(config)
    if not config.blocks:
        return stack
    return StackedRNN([nn.Dense(stack.features, dtype=DTYPES[config.dtype]), stack])


def _layers(cell: Any, features: Sequence[int], bidirectional: bool) -> list[nn.Module]:
    def layer(features: int) -> nn.Module:
        if bidirectional:
            return Bidirectional(RNN(cell(features)), RNN(cell(features), reverse=True))
        return RNN(cell(features))

    return [layer(each) for each in features]


def _blocks(layers: Sequence[nn.Module], config: RecurrentModel | LanguageModel) -> StackedRNN:
    """Each layer with a gated linear one behind it, as wide as what it makes, both pre-norm and residual."""
    parts = [part for layer in layers for part in (layer, GatedLinear(layer.features, DTYPES[config.dtype]))]  # pyright: ignore
    return StackedRNN(parts, config.dropout, residual=True, pre_norm=True)

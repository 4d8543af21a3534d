"""The layer that a Keras layer's configuration describes."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, RecurrentCell, ResetBeforeGRUCell, SimpleRNNCell
from rnnjax.layers.convert.keras_config import Described, Layer, described
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN


def layer_from_keras(config: Any) -> Any:
    """The layer that takes what :func:`from_keras` makes of a Keras layer's weights.

    Args:
      config: ``layer.get_config()`` of a recurrent Keras layer, or the layer; or a list of them, lowest first.

    Returns:
      An ``RNN``, or a ``Bidirectional``; of a list, or of a ``keras.layers.RNN`` of several cells, a ``StackedRNN``.
      Its outputs are in the order of the inputs, also where ``go_backwards`` has Keras return them reversed; units,
      merge, activation, ``reset_after`` and the rates of dropout are as there.

    Raises:
      UsageError: if Keras' layer computes what no layer here does, such as an LSTM with another activation.
    """
    if isinstance(config, list | tuple):
        return StackedRNN([layer_from_keras(part) for part in config])
    found = described(config.get_config() if hasattr(config, "get_config") else config)
    if found.stack is not None:
        return StackedRNN([_rnn(cell) for cell in found.stack])
    return _layer(found)


def _layer(found: Layer) -> RNN | Bidirectional:
    if len(found.cells) == 1:
        return _rnn(found.cells[0])
    ahead, behind = found.cells
    return Bidirectional(_rnn(ahead), _rnn(behind._replace(backwards=True)), found.merge or "concat")


def _rnn(cell: Described) -> RNN:
    return RNN(
        _cell(cell), reverse=cell.backwards, input_dropout=cell.dropout, recurrent_dropout=cell.recurrent_dropout
    )


def _cell(cell: Described) -> RecurrentCell:
    if cell.features <= 0:
        raise UsageError(f"units must be positive, got {cell.features}")
    if cell.kind == "lstm":
        return LSTMCell(cell.features)
    if cell.kind == "gru":
        return GRUCell(cell.features) if cell.reset_after else ResetBeforeGRUCell(cell.features)
    return SimpleRNNCell(cell.features, activation=_activation(cell.activation))


def _activation(name: str) -> Any:
    return {"tanh": jnp.tanh, "linear": _linear, "softsign": nn.soft_sign}.get(name) or getattr(nn, name)


def _linear(x: Any) -> Any:
    return x

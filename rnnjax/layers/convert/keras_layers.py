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
      UsageError: if Keras' layer computes what no layer here does, such as an LSTM with another activation, or keeps
        its state from call to call.
    """
    if isinstance(config, list | tuple):
        return StackedRNN([_layer(found) for found in _in_order([_found(part) for part in config])])
    return _layer(_found(config))


def _found(config: Any) -> Layer:
    if isinstance(config, type):
        raise UsageError(f"give a layer of Keras, and not its class: {config.__name__}(64)")
    found = described(config.get_config() if hasattr(config, "get_config") else config)
    if found.stateful:
        raise UsageError(
            "a Keras layer with stateful=True keeps its state, which a layer here does not: convert the configuration "
            "with stateful=False, and put rnnjax.Carried around the layer, or pass the carry on by initial_carry="
        )
    return found


def _in_order(stack: list[Layer]) -> list[Layer]:
    """The layers of a stack as they read where all outputs are in the order of the inputs.

    Keras hands the outputs of ``go_backwards`` on in the order in which they were made: what stands above reads the
    other way round, until a second such layer turns it.
    """
    turned, read = False, []
    for found in stack:
        directions = 1 if found.stack is not None else len(found.cells)
        turned ^= directions == 1 and found.cells[0].backwards
        if directions == 2 and turned:
            raise UsageError(
                "a Keras Bidirectional above a layer with go_backwards=True reads from the end first; convert each "
                "layer by itself, and turn the outputs between them"
            )
        if directions == 1:
            cells, above = (
                None if part is None else tuple(cell._replace(backwards=turned) for cell in part)
                for part in (found.cells, found.stack)
            )
            found = found._replace(cells=cells, stack=above)
        read.append(found)
    return read


def _layer(found: Layer) -> Any:
    if found.stack is not None:
        return StackedRNN([_rnn(cell) for cell in found.stack])
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

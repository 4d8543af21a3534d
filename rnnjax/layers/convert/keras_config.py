"""What ``get_config()`` says of a Keras recurrent layer, as far as it decides what the layer computes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rnnjax.errors import UsageError

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear", "softplus", "elu", "silu", "softsign")
"""Keras' names of those that ``SimpleRNNCell(activation=...)`` has from Flax by the same definition."""

_MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "mul"}


class Described(NamedTuple):
    """A cell.

    Attributes:
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      features: Keras' ``units``; 0 where only weights are known.
      activation: of a SimpleRNN, by Keras' name.
      reset_after: of a GRU.
      use_bias: whether it has biases.
      backwards: ``go_backwards`` of its layer.
      dropout, recurrent_dropout: rates.
    """

    kind: str
    features: int = 0
    activation: str = "tanh"
    reset_after: bool = True
    use_bias: bool = True
    backwards: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0


class Layer(NamedTuple):
    """A layer.

    Attributes:
      cells: one, or the forward and the backward one of a Bidirectional.
      merge: of a Bidirectional, by our name.
      stack: the cells of a ``StackedRNNCells``, lowest first, or None.
      stateful: whether it keeps its state from call to call.
    """

    cells: tuple[Described, ...]
    merge: str | None = None
    stack: tuple[Described, ...] | None = None
    stateful: bool = False


def described(config: Mapping[str, Any]) -> Layer:
    """What a layer's ``get_config()`` says.

    Raises:
      UsageError: if it is no recurrent layer's, or of one that computes what no layer here does.
    """
    if not isinstance(config, Mapping):
        raise UsageError(f"config must be layer.get_config(), a dictionary, got {type(config).__name__}")
    if "merge_mode" in config:
        return _bidirectional(config)
    cells = _cells(config)
    return Layer(cells[:1], stack=None if len(cells) == 1 else cells, stateful=bool(config.get("stateful")))


def _bidirectional(config: Mapping[str, Any]) -> Layer:
    ahead = _single(config["layer"])
    behind = _single(config["backward_layer"]) if config.get("backward_layer") else ahead._replace(backwards=True)
    if ahead.kind != behind.kind:
        raise UsageError(f"a Keras Bidirectional of {ahead.kind} and {behind.kind}: convert each layer by itself")
    if config["merge_mode"] not in _MERGES:
        raise UsageError(
            f"Keras' merge_mode={config['merge_mode']!r} has no like here, only {', '.join(_MERGES)}; "
            "two RNNs side by side give both outputs"
        )
    if ahead.backwards or not behind.backwards:
        raise UsageError("a Keras Bidirectional whose forward layer goes backwards is not converted; swap its layers")
    stateful = bool(_inner(config["layer"]).get("stateful"))
    return Layer((ahead, behind), _MERGES[config["merge_mode"]], stateful=stateful)


def _single(layer: Any) -> Described:
    """One direction of a Bidirectional."""
    cells = _cells(_inner(layer))
    if len(cells) != 1:
        raise UsageError("a Keras Bidirectional over several cells is not converted; make it of single layers")
    return cells[0]


def _inner(value: Any) -> Mapping[str, Any]:
    """Of a serialised Keras object its configuration, with its class."""
    if not isinstance(value, Mapping) or "config" not in value:
        raise UsageError(f"config must be layer.get_config() of a recurrent Keras layer, got {str(value)[:80]}")
    return {**value["config"], "class_name": value.get("class_name")}


def _cells(config: Mapping[str, Any]) -> tuple[Described, ...]:
    if "cell" in config:  # keras.layers.RNN around a cell of its own, or several
        inner = _inner(config["cell"])
        cells = [_inner(cell) for cell in inner["cells"]] if "cells" in inner else [inner]
        backwards = bool(config.get("go_backwards"))
        return tuple(_cell(cell)._replace(backwards=backwards) for cell in cells)
    return (_cell(config),)


def _cell(config: Mapping[str, Any]) -> Described:
    known = {"units", "activation", "use_bias", "recurrent_initializer"} <= set(config)
    name = config.get("class_name")
    if not known or (name and name.removesuffix("Cell") not in ("SimpleRNN", "LSTM", "GRU")):
        raise UsageError(f"{name or 'this configuration'} is no SimpleRNN, LSTM or GRU of Keras: {sorted(config)[:8]}")
    kind = "gru" if "reset_after" in config else "lstm" if "unit_forget_bias" in config else "rnn"
    activation = config["activation"]
    if kind == "rnn":
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"a SimpleRNN with activation={activation!r} is not converted, only {', '.join(ACTIVATIONS)}"
            )
    else:
        for field, wanted in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
            if config.get(field) != wanted:
                raise UsageError(
                    f"a Keras {kind.upper()} with {field}={config.get(field)!r} computes what no cell here does; ours "
                    f"have {field}={wanted!r}"
                )
    return Described(
        kind,
        int(config["units"]),
        activation,
        bool(config.get("reset_after", True)),
        bool(config["use_bias"]),
        bool(config.get("go_backwards")),
        float(config.get("dropout") or 0),
        float(config.get("recurrent_dropout") or 0),
    )

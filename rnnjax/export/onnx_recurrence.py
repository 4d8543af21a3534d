"""Recurrences as ONNX's own operators (https://onnx.ai/onnx/operators/, ``LSTM``, ``GRU`` and ``RNN``, opset 14).

Axes: B batch, T time, D input features, H hidden features. Here sequences are ``[B, T, D]``, in the operators
``[T, B, D]``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.export.onnx_graph import Graph, refuse
from rnnjax.layers.carried import Carried
from rnnjax.layers.cells.gru import GRUCell, ResetBeforeGRUCell
from rnnjax.layers.cells.lstm import LSTMCell, PeepholeLSTMCell
from rnnjax.layers.cells.simple import SimpleRNNCell
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN

Params = Mapping[str, Any]

_ACTIVATIONS: dict[Callable[..., Any], str] = {jnp.tanh: "Tanh", nn.relu: "Relu", nn.sigmoid: "Sigmoid"}
_MERGES = {"sum": "Add", "mean": "Add", "mul": "Mul"}


_KNOWN = {"input_kernel", "recurrent_kernel", "bias", "recurrent_bias", "peepholes"}


class _Operator(NamedTuple):
    """What says a cell.

    Attributes:
      name: of the operator.
      order: the operator's gates, each by its place among the cell's.
      options: its attributes.
    """

    name: str
    order: tuple[int, ...]
    options: Mapping[str, Any] = {}


_OPERATORS = {
    LSTMCell: _Operator("LSTM", (0, 3, 1, 2)),  # i, o, f, c of i, f, g, o
    PeepholeLSTMCell: _Operator("LSTM", (0, 3, 1, 2)),
    GRUCell: _Operator("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # z, r, h of r, z, n
    ResetBeforeGRUCell: _Operator("GRU", (1, 0, 2), {"linear_before_reset": 0}),
    SimpleRNNCell: _Operator("RNN", (0,)),
}


def recurrence(
    graph: Graph, layer: Any, params: Params, inputs: str, lengths: str | None, carry: Any = None
) -> tuple[Any, str]:
    """A layer over a sequence, as the layer itself is called.

    Args:
      graph: that grows by it.
      layer: an RNN, Bidirectional, StackedRNN, or Carried of one.
      params: its parameters.
      inputs: ``[B, T, D]``, zero at steps that are not real.
      lengths: ``[B]`` int32; None: all steps are real.
      carry: the names of the first carry's arrays ``[B, H]``, as the layer has them; None: zeros.

    Returns:
      The names of the carry's arrays and of the outputs ``[B, T, H]``.

    Raises:
      UsageError: if ONNX cannot say a part of it.
    """
    makers = {RNN: _rnn, Bidirectional: _bidirectional, StackedRNN: _stacked, Carried: _carried}
    if type(layer) not in makers:
        refuse(f"a recurrent layer of class {type(layer).__name__}")
    return makers[type(layer)](graph, layer, params, inputs, lengths, carry)


def zero_beyond(graph: Graph, inputs: str, lengths: str | None) -> str:
    """A sequence ``[B, T, D]`` with zeros in the place of steps that are not real."""
    return inputs if lengths is None else graph.where(_last_axis(graph, mask(graph, inputs, lengths)), inputs)


def mask(graph: Graph, inputs: str, lengths: str) -> str:
    """Which steps of ``[B, T, ...]`` are real, ``[B, T]``."""
    steps = graph.add("Range", graph.constant(0, np.int64), graph.size(inputs, 1), graph.constant(1, np.int64))
    return graph.add("Less", steps, _last_axis(graph, graph.int64(lengths)))


def _last_axis(graph: Graph, name: str) -> str:
    return graph.add("Unsqueeze", name, graph.integers(-1))


def _carried(graph: Graph, layer: Any, *rest: Any) -> tuple[Any, str]:
    return recurrence(graph, layer.layer, *rest)


def _stacked(graph, layer, params, inputs, lengths, carry):
    outputs, last = inputs, []
    for depth, one in enumerate(layer.layers):
        below = outputs
        if layer.pre_norm:
            norm = params[f"norm_{depth}"]
            scale, bias = (graph.constant(norm[name]) for name in ("scale", "bias"))
            outputs = graph.add("LayerNormalization", outputs, scale, bias, axis=-1, epsilon=nn.LayerNorm.epsilon)
        first = None if carry is None else carry[depth]
        after, outputs = recurrence(graph, one, params[f"layers_{depth}"], outputs, lengths, first)
        if layer.residual and (depth or _width(one, params[f"layers_{depth}"])):
            outputs = graph.add("Add", outputs, below)
        last.append(after)
    return tuple(last), outputs


def _width(layer: Any, params: Params) -> bool:
    """Whether a layer makes as many features as it reads."""
    if isinstance(layer, Carried):
        return _width(layer.layer, params)
    if isinstance(layer, RNN):
        return params["cell"]["input_kernel"].shape[0] == layer.cell.output_features
    read, ahead = params["forward"]["cell"]["input_kernel"].shape[0], layer.forward.cell.output_features
    return read == ahead + (layer.backward.cell.output_features if layer.merge == "concat" else 0)


def _bidirectional(graph, layer, params, inputs, lengths, carry):
    first = (None, None) if carry is None else carry
    forward, ahead = recurrence(graph, layer.forward, params["forward"], inputs, lengths, first[0])
    backward, behind = recurrence(graph, layer.backward, params["backward"], inputs, lengths, first[1])
    if layer.merge == "concat":
        return (forward, backward), graph.add("Concat", ahead, behind, axis=-1)
    merged = graph.add(_MERGES[layer.merge], ahead, behind)
    return (forward, backward), graph.add("Mul", merged, graph.constant(0.5)) if layer.merge == "mean" else merged


def _rnn(graph: Graph, layer: RNN, params: Params, inputs: str, lengths: str | None, carry: Any) -> tuple[Any, str]:
    cell, operator = layer.cell, operator_of(layer)
    if others := [*(set(params) - {"cell", "first_carry"}), *(set(params["cell"]) - _KNOWN)]:
        refuse(f"the parameter {min(others)} of a {type(cell).__name__}")
    if carry is None and layer.first_carry is not None:
        carry = _first_carry(graph, layer, params, inputs)
    leaves: tuple[Any, ...] = carry if isinstance(carry, tuple) else (carry,)
    hidden = "" if carry is None else _ahead(graph, leaves[-1])
    names = [graph.add("Transpose", inputs, perm=[1, 0, 2]), *_weights(graph, cell, params["cell"], operator)]
    names += ["" if lengths is None else lengths, hidden]
    if operator.name == "LSTM":
        names.append("" if carry is None else _ahead(graph, leaves[0]))
        names += [_peepholes(graph, cell, params["cell"])] if type(cell) is PeepholeLSTMCell else []
    options = {"hidden_size": cell.features, "direction": "reverse" if layer.reverse else "forward", **operator.options}
    if operator.name == "RNN":
        options["activations"] = [_ACTIVATIONS[cell.activation]]
    outputs, *last = graph.several(operator.name, names, 3 if operator.name == "LSTM" else 2, **options)
    outputs = graph.add("Transpose", graph.add("Squeeze", outputs, graph.integers(1)), perm=[1, 0, 2])
    after = [graph.add("Squeeze", leaf, graph.integers(0)) for leaf in last]
    if lengths is not None and carry is not None:
        # A row without steps keeps its carry; a runtime may give zeros.
        some = _last_axis(graph, graph.add("Greater", lengths, graph.constant(0, np.int32)))
        before = leaves[::-1]
        after = [graph.add("Where", some, new, old) for new, old in zip(after, before, strict=True)]
    return (after[1], after[0]) if operator.name == "LSTM" else after[0], outputs


def _first_carry(graph: Graph, layer: RNN, params: Params, inputs: str) -> Any:
    """The names of the carry's arrays from which every row starts, which a step that is not real leaves as it is."""
    nothing = jnp.zeros((1, 1, params["cell"]["input_kernel"].shape[0]), jnp.float32)
    first, _ = layer.clone(parent=None).apply({"params": params}, nothing, lengths=jnp.zeros(1, jnp.int32))
    shape = graph.add("Concat", graph.reshape(graph.size(inputs, 0), 1), graph.integers(1), axis=0)
    return jax.tree.map(lambda leaf: graph.add("Expand", graph.constant(leaf), shape), first)


def _ahead(graph: Graph, name: str) -> str:
    """``[B, H]`` as the one direction's ``[1, B, H]``."""
    return graph.add("Unsqueeze", name, graph.integers(0))


def operator_of(layer: RNN) -> _Operator:
    """What says the cell; raises UsageError where nothing does, or not as the layer runs it."""
    cell, rates = layer.cell, layer.zoneout if isinstance(layer.zoneout, Sequence) else (layer.zoneout,)
    name = cell._kind
    if type(cell) not in _OPERATORS:
        refuse(f"{name}: its recurrent operators are LSTM, GRU and RNN")
    if any(rates):
        refuse(f"zoneout, whose expectation a {name} with zoneout={layer.zoneout} answers with")
    wide = {jnp.dtype(kind) for kind in (cell.dtype, cell.param_dtype, cell.carry_dtype) if kind is not None}
    if wide != {jnp.dtype(jnp.float32)}:
        others = ", ".join(sorted(kind.name for kind in wide - {jnp.dtype(jnp.float32)}))
        refuse(f"a {name} of {others}; here it is written in float32")
    if isinstance(cell, SimpleRNNCell) and cell.activation not in _ACTIVATIONS:
        refuse(f"the activation {getattr(cell.activation, '__name__', cell.activation)!s} of {name}")
    return _OPERATORS[type(cell)]


def _weights(graph: Graph, cell: Any, params: Params, operator: _Operator) -> list[str]:
    """The operator's W ``[1, G H, D]``, R ``[1, G H, H]`` and B ``[1, 2 G H]``."""
    width, gates = cell.features, len(operator.order)
    bias = np.asarray(params.get("bias", np.zeros(gates * width)), np.float32)
    recurrent_bias = np.zeros(gates * width, np.float32)
    if "recurrent_bias" in params:
        recurrent_bias[-width:] = params["recurrent_bias"]

    def ordered(array: Any) -> np.ndarray:
        blocks = np.split(np.asarray(array, np.float32), gates, axis=-1)
        return np.concatenate([blocks[place] for place in operator.order], axis=-1).T

    kernels = [graph.constant(ordered(params[name])[None]) for name in ("input_kernel", "recurrent_kernel")]
    return [*kernels, graph.constant(np.concatenate([ordered(bias), ordered(recurrent_bias)])[None])]


def _peepholes(graph: Graph, cell: Any, params: Params) -> str:
    """The operator's P ``[1, 3 H]``, in the order i, o, f of i, f, o."""
    i, f, o = np.split(np.asarray(params["peepholes"], np.float32), 3)
    return graph.constant(np.concatenate([i, o, f])[None])

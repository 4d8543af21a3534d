"""Weights of ``keras.layers.{SimpleRNN, LSTM, GRU}``, their cells, ``Bidirectional`` and ``StackedRNNCells``."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import (
    Tree,
    as_array,
    check_cell,
    check_no_bias,
    directions,
    gates_of,
    layers,
    own_arrays,
    split_candidate,
    take,
)
from rnnjax.layers.convert.keras_config import Described, described


@own_arrays
def from_keras(
    weights: Any,
    kind: str | None = None,
    bidirectional: bool = False,
    reset_after: bool = True,
    config: Mapping[str, Any] | None = None,
) -> Tree:
    """The parameters of an ``RNN`` or ``Bidirectional`` from ``layer.get_weights()`` of a Keras layer.

    Args:
      weights: ``[kernel, recurrent_kernel, bias]``, without ``bias`` for ``use_bias=False``; those of
        both directions one after the other for ``Bidirectional``. Or the Keras layer itself, which has both its
        weights and its configuration: ``from_keras(layer)``.
      kind: ``"rnn"`` (SimpleRNN), ``"lstm"`` or ``"gru"``; not needed with ``config``.
      bidirectional: whether the layer is ``keras.layers.Bidirectional``.
      reset_after: the GRU's option, needed only without bias; a bias tells it by its shape. The
        tree is for ``GRUCell`` where it is true and for ``ResetBeforeGRUCell`` where not.
      config: ``layer.get_config()``, which says all of these, and the activations too, which weights do not: with it
        a layer with others than our cells have is refused. :func:`layer_from_keras` makes the layer of it.

    Raises:
      UsageError: if the number of arrays or a shape does not fit, or the layer's activations are not ours.
    """
    if hasattr(weights, "get_weights"):
        weights, config = weights.get_weights(), weights.get_config() if config is None else config
    if config is None:
        if kind is None:
            raise UsageError("from_keras needs the layer's kind or config=layer.get_config()")
        cells = [Described(kind, reset_after=reset_after)] * (2 if bidirectional else 1)
    else:
        found = described(config)
        if found.stack is not None:
            raise UsageError("these are StackedRNNCells; from_keras_stack converts them")
        if kind not in (None, found.cells[0].kind):
            raise UsageError(f"kind is {kind!r}, but the configuration is that of a Keras {found.cells[0].kind}")
        cells = list(found.cells)
    return _tree([as_array(array) for array in weights], cells)


@own_arrays
def from_keras_stack(layers: Any) -> Tree:
    """The parameters of a ``StackedRNN`` from Keras layers, lowest first.

    Args:
      layers: recurrent Keras layers, such as ``model.layers[1:3]``; or pairs ``(layer.get_weights(),
        layer.get_config())`` of them; or one ``keras.layers.RNN`` of several cells.

    Raises:
      UsageError: as :func:`from_keras`.
    """
    if hasattr(layers, "get_weights"):
        found = described(layers.get_config())
        if found.stack is None:
            raise UsageError("from_keras_stack wants a list of layers, or a keras.layers.RNN of several cells")
        arrays, trees = [as_array(array) for array in layers.get_weights()], []
        sizes = [3 if cell.use_bias else 2 for cell in found.stack]
        if sum(sizes) != len(arrays):
            raise UsageError(f"{len(sizes)} Keras cells with {sum(sizes)} arrays, got {len(arrays)}")
        for cell, size in zip(found.stack, sizes, strict=True):
            trees.append(_tree(arrays[:size], [cell]))
            arrays = arrays[size:]
        return _stacked(trees)
    pairs = [(part.get_weights(), part.get_config()) if hasattr(part, "get_weights") else part for part in layers]
    if not pairs:
        raise UsageError("from_keras_stack: there are no layers")
    return _stacked([from_keras(weights, config=config) for weights, config in pairs])


@own_arrays
def to_keras(params: Mapping[str, Any], kind: str, use_bias: bool = True) -> list[np.ndarray]:
    """The inverse of :func:`from_keras`: arrays for ``layer.set_weights``.

    Args:
      params: the parameters of an ``RNN`` or a ``Bidirectional``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      use_bias: False for a layer that is made with ``use_bias=False``.

    Raises:
      UsageError: if the tree is not that of an ``RNN`` or ``Bidirectional`` over a cell that Keras has; if biases
        that are not zero would be left out.
    """
    made = [_cell_to(cell, kind) for cell in directions(params)]
    if not use_bias:
        check_no_bias([arrays[2] for arrays in made], "use_bias=False")
        made = [arrays[:2] for arrays in made]
    return [array for arrays in made for array in arrays]


@own_arrays
def to_keras_stack(params: Mapping[str, Any], kind: str, use_bias: bool = True) -> list[list[np.ndarray]]:
    """The inverse of :func:`from_keras_stack`: for each layer of a ``StackedRNN`` what :func:`to_keras` gives.

    One after the other, in one list, they are the weights of a ``keras.layers.RNN`` of several cells.
    """
    return [to_keras(tree, kind, use_bias) for tree in layers(params, "Keras")]


def _stacked(trees: Sequence[Tree]) -> Tree:
    return {f"layers_{depth}": tree for depth, tree in enumerate(trees)}


def _tree(arrays: Sequence[np.ndarray], cells: Sequence[Described]) -> Tree:
    """Of one or two cells' arrays, one cell after the other."""
    count = len(cells)
    gates_of(cells[0].kind)
    if len(arrays) not in (2 * count, 3 * count):
        raise UsageError(
            f"a Keras {cells[0].kind} of {count} direction(s) has {2 * count} or {3 * count} arrays, got {len(arrays)}"
            f"{'' if arrays else ': a layer has none before it is built, by a first call'}"
        )
    size = len(arrays) // count
    made = [{"cell": _cell_from(arrays[at * size : (at + 1) * size], cell)} for at, cell in enumerate(cells)]
    return {"forward": made[0], "backward": made[1]} if count == 2 else made[0]


def _swap_gates(array: np.ndarray) -> np.ndarray:
    """Keras' z, r, n to r, z, n along the last axis, and back."""
    z, r, n = np.split(array, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def _cell_from(arrays: Sequence[np.ndarray], cell: Described) -> Tree:
    kind, gates = cell.kind, gates_of(cell.kind)
    names: dict[str, np.ndarray] = dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False))
    kernel = take(names, "kernel", None, None)
    width = kernel.shape[1]
    recurrent = take(names, "recurrent_kernel", width // gates, width)
    if kind == "gru":
        kernel, recurrent = _swap_gates(kernel), _swap_gates(recurrent)
    if "bias" not in names:
        bias = np.zeros((2, width) if kind == "gru" and cell.reset_after else width, kernel.dtype)
    elif kind == "gru" and names["bias"].ndim == 2:
        bias = _swap_gates(take(names, "bias", 2, width))
    else:
        bias = take(names, "bias", width)
        bias = _swap_gates(bias) if kind == "gru" else bias
    tree = {"input_kernel": kernel, "recurrent_kernel": recurrent}
    return tree | (split_candidate(*bias) if bias.ndim == 2 else {"bias": bias})


def _cell_to(cell: Mapping[str, np.ndarray], kind: str) -> list[np.ndarray]:
    gates = gates_of(kind)
    check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "Keras")
    kernel = take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates
    arrays = [kernel, take(cell, "recurrent_kernel", features, width), take(cell, "bias", width)]
    if "recurrent_bias" in cell:
        hidden_bias = np.zeros(width, kernel.dtype)
        hidden_bias[2 * features :] = take(cell, "recurrent_bias", features)
        arrays[2] = np.stack([arrays[2], hidden_bias])
    return [_swap_gates(array) for array in arrays] if kind == "gru" else arrays

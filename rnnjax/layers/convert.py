"""Weights and carries from and to ``torch.nn.{RNN, LSTM, GRU}``, Keras' and Flax' recurrent layers.

Pure functions over arrays: no framework is imported, and everything returned is NumPy: new arrays in C order, which
share no memory with what was given.

``kind`` names the layer: ``"rnn"`` (torch.nn.RNN, keras SimpleRNN), ``"lstm"`` or ``"gru"``. The
tree of one direction is ``{"cell": {...}}``, as the parameters of an :class:`~rnnjax.layers.recurrence.RNN`;
of two directions ``{"forward": ..., "backward": ...}``, as of a ``Bidirectional``; a PyTorch module
becomes ``{"layers_0": ..., "layers_1": ...}``, as of a ``StackedRNN``.

Gate orders: ours are PyTorch's (LSTM i, f, g, o; GRU r, z, n); Keras' GRU has z, r, n.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from rnnjax.errors import UsageError

Tree = dict[str, Any]
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_GATES = {"rnn": 1, "lstm": 4, "gru": 3}
_FLAX = {"rnn": ("",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""What Flax calls the gates, in our order."""


def _own_arrays(convert: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Copies, in C order, what a conversion returns.

    A transposed view has the right numbers, but whoever takes its buffer takes them in another order
    (``safetensors.numpy.save_file`` does); and a view of a framework's weights changes as they train.
    """

    @functools.wraps(convert)
    def converted(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        return _copied(convert(*args, **kwargs))

    return converted


def _copied(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _copied(part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_copied(part) for part in tree)
    return np.array(tree, order="C")


@_own_arrays
def from_torch(state: Mapping[str, Any], kind: str) -> Tree:
    """The parameters of a ``StackedRNN`` from the ``state_dict()`` of a ``torch.nn`` recurrent module.

    Args:
      state: arrays by PyTorch's names, ``weight_ih_l0 [G * H, D]`` and so on. Layers, directions,
        a projection (``weight_hr_l0``) and ``bias=False`` are seen from the names.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Returns:
      ``{"layers_0": tree, ...}``. PyTorch's two biases become one, except the GRU's of the
      candidate, which stay two. A layer with projection is for ``ProjectedLSTMCell``.

    Raises:
      UsageError: if a name is unknown or missing, or a shape does not fit.
    """
    gates = _gates(kind)
    arrays = {name: np.asarray(value) for name, value in state.items()}
    places = {name: re.fullmatch(r"(?:weight|bias)_(?:ih|hh|hr)_l(\d+)(?:_reverse)?", name) for name in arrays}
    for name, place in places.items():
        if place is None:
            raise UsageError(f"{name!r} is no parameter of torch.nn.{kind.upper()}; strip prefixes of outer modules")
    layers = 1 + max((int(place[1]) for place in places.values() if place), default=-1)
    if not layers:
        raise UsageError("the state dict is empty")
    tree = {}
    for layer in range(layers):
        ahead = _cell_from_torch(arrays, kind, gates, f"_l{layer}")
        if f"weight_ih_l{layer}_reverse" in arrays:
            behind = _cell_from_torch(arrays, kind, gates, f"_l{layer}_reverse")
            tree[f"layers_{layer}"] = {"forward": {"cell": ahead}, "backward": {"cell": behind}}
        else:
            tree[f"layers_{layer}"] = {"cell": ahead}
    return tree


@_own_arrays
def to_torch(params: Mapping[str, Any], kind: str) -> dict[str, np.ndarray]:
    """The inverse of :func:`from_torch`: arrays for ``load_state_dict`` (through ``torch.as_tensor``).

    Args:
      params: the parameters of a ``StackedRNN``, a ``Bidirectional`` or an ``RNN``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Returns:
      PyTorch's names and arrays. Biases stand in ``bias_ih``; ``bias_hh`` is zero but for the
      GRU's candidate.

    Raises:
      UsageError: if the tree is not one of these, or of a cell that PyTorch lacks.
    """
    gates, state = _gates(kind), {}
    stack = params if "layers_0" in params else {"layers_0": params}
    for layer in range(len(stack)):
        if f"layers_{layer}" not in stack:
            raise UsageError(f"PyTorch has no place for {sorted(stack)}, only for layers_0, layers_1, ...")
        for suffix, cell in zip(("", "_reverse"), _directions(stack[f"layers_{layer}"]), strict=False):
            state |= _cell_to_torch(cell, kind, gates, f"_l{layer}{suffix}")
    return state


@_own_arrays
def carry_from_torch(carry: Any, kind: str, bidirectional: bool = False) -> tuple[Any, ...]:
    """The carry of a ``StackedRNN`` from PyTorch's ``h [L, B, H]``, or ``(h, c)`` for the LSTM.

    L counts layers times directions.
    """
    _gates(kind)
    parts = tuple(np.asarray(part) for part in carry) if kind == "lstm" else (np.asarray(carry),)
    # PyTorch has (h, c), we have (c, h).
    cells = [part if kind == "lstm" else part[0] for part in zip(*reversed(parts), strict=True)]
    if not bidirectional:
        return tuple(cells)
    return tuple(zip(cells[::2], cells[1::2], strict=True))


@_own_arrays
def carry_to_torch(carry: Sequence[Any], kind: str, bidirectional: bool = False) -> Any:
    """The inverse of :func:`carry_from_torch`."""
    _gates(kind)
    cells = [cell for layer in carry for cell in layer] if bidirectional else list(carry)
    if kind != "lstm":
        return np.stack([np.asarray(cell) for cell in cells])
    return tuple(np.stack([np.asarray(cell[part]) for cell in cells]) for part in (1, 0))


@_own_arrays
def from_keras(weights: Sequence[Any], kind: str, bidirectional: bool = False, reset_after: bool = True) -> Tree:
    """The parameters of an ``RNN`` or ``Bidirectional`` from ``layer.get_weights()`` of a Keras layer.

    Args:
      weights: ``[kernel, recurrent_kernel, bias]``, without ``bias`` for ``use_bias=False``; those of
        both directions one after the other for ``Bidirectional``.
      kind: ``"rnn"`` (SimpleRNN), ``"lstm"`` or ``"gru"``.
      bidirectional: whether the layer is ``keras.layers.Bidirectional``.
      reset_after: the GRU's option, needed only without bias; a bias tells it by its shape. The
        tree is for ``GRUCell`` where it is true and for ``ResetBeforeGRUCell`` where not.

    Raises:
      UsageError: if the number of arrays or a shape does not fit.
    """
    gates, arrays = _gates(kind), [np.asarray(array) for array in weights]
    directions = 2 if bidirectional else 1
    if len(arrays) not in (2 * directions, 3 * directions):
        raise UsageError(f"a Keras {kind} of {directions} direction(s) has {2 * directions} or {3 * directions} "
                         f"arrays, got {len(arrays)}")  # fmt: skip
    size = len(arrays) // directions
    cells = [
        {"cell": _cell_from_keras(arrays[at : at + size], kind, gates, reset_after)}
        for at in range(0, len(arrays), size)
    ]
    return {"forward": cells[0], "backward": cells[1]} if bidirectional else cells[0]


@_own_arrays
def to_keras(params: Mapping[str, Any], kind: str) -> list[np.ndarray]:
    """The inverse of :func:`from_keras`: arrays for ``layer.set_weights`` of a layer with biases.

    Raises:
      UsageError: if the tree is not that of an ``RNN`` or ``Bidirectional`` over a cell that Keras has.
    """
    gates = _gates(kind)
    return [array for cell in _directions(params) for array in _cell_to_keras(cell, kind, gates)]


@_own_arrays
def from_flax(cell: Mapping[str, Any], kind: str) -> Tree:
    """The parameters of an ``RNN`` or ``Bidirectional`` from those of a ``flax.linen`` cell or layer.

    Args:
      cell: the parameters of ``SimpleCell`` (kind ``"rnn"``), ``LSTMCell``, ``OptimizedLSTMCell``
        (``"lstm"``) or ``GRUCell`` (``"gru"``); or of ``nn.RNN``, which keeps the cell's under ``"cell"``; or
        of ``nn.Bidirectional``, ``{"forward_rnn": {"cell": ...}, "backward_rnn": {"cell": ...}}``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Raises:
      UsageError: if the names are not those of such a cell or layer.
    """
    _known(kind)
    if set(cell) == {"forward_rnn", "backward_rnn"}:
        ahead, behind = (_cell_from_flax(cell[name], kind) for name in ("forward_rnn", "backward_rnn"))
        return {"forward": {"cell": ahead}, "backward": {"cell": behind}}
    return {"cell": _cell_from_flax(cell, kind)}


@_own_arrays
def to_flax(params: Mapping[str, Any], kind: str) -> Tree:
    """The inverse of :func:`from_flax`: Flax' parameters from those of an ``RNN`` or ``Bidirectional``.

    Returns:
      Of an ``RNN`` the parameters of the ``flax.linen`` cell, what ``nn.RNN`` keeps under ``"cell"``; of a
      ``Bidirectional`` those of ``nn.Bidirectional``.

    Raises:
      UsageError: if the tree is not one of these, or of a cell that Flax lacks.
    """
    _known(kind)
    cells = [_cell_to_flax(cell, kind) for cell in _directions(params)]
    if len(cells) == 1:
        return cells[0]
    return {"forward_rnn": {"cell": cells[0]}, "backward_rnn": {"cell": cells[1]}}


def _known(kind: str) -> str:
    if kind not in _GATES:
        raise UsageError(f"kind must be one of {', '.join(_GATES)}, got {kind!r}")
    return kind


def _gates(kind: str) -> int:
    return _GATES[_known(kind)]


def _directions(tree: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
    """The cells' parameters of an RNN (one) or a Bidirectional (forward, backward)."""
    parts = [tree["forward"], tree["backward"]] if set(tree) == {"forward", "backward"} else [tree]
    for part in parts:
        if set(part) != {"cell"}:
            raise UsageError(f"expected the parameters of an RNN or a Bidirectional, got a tree of {sorted(part)}")
    return [{name: np.asarray(value) for name, value in part["cell"].items()} for part in parts]


def _take(arrays: Mapping[str, np.ndarray], name: str, *shape: int | None) -> np.ndarray:
    """``arrays[name]``, which must be there and have this shape (None: any size)."""
    if name not in arrays:
        raise UsageError(f"{name!r} is missing; there are {sorted(arrays)}")
    array = arrays[name]
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        raise UsageError(f"{name!r} should have shape {shape} (None: any), got {array.shape}")
    return array


def _check_cell(cell: Mapping[str, np.ndarray], allowed: set[str], where: str) -> None:
    unknown = set(cell) - {"input_kernel", "recurrent_kernel", "bias"} - allowed
    if unknown:
        raise UsageError(f"{where} has no place for {sorted(unknown)}")


def _cell_from_torch(arrays: Mapping[str, np.ndarray], kind: str, gates: int, suffix: str) -> Tree:
    kernel = _take(arrays, f"weight_ih{suffix}", None, None)
    width, features = kernel.shape[0], kernel.shape[0] // gates
    projection = _take(arrays, f"weight_hr{suffix}", None, features) if f"weight_hr{suffix}" in arrays else None
    rows = features if projection is None else projection.shape[0]
    recurrent = _take(arrays, f"weight_hh{suffix}", gates * features, rows)
    if f"bias_ih{suffix}" in arrays:
        bias = _take(arrays, f"bias_ih{suffix}", width)
        hidden_bias = _take(arrays, f"bias_hh{suffix}", width)
    else:
        bias = hidden_bias = np.zeros(width, kernel.dtype)
    cell = {"input_kernel": kernel.T, "recurrent_kernel": recurrent.T, "bias": bias + hidden_bias}
    if kind == "gru":
        cell |= _split_candidate(bias, hidden_bias)
    if projection is not None:
        cell["projection_kernel"] = projection.T
    return cell


def _split_candidate(bias: np.ndarray, hidden_bias: np.ndarray) -> Tree:
    """The GRU's biases: those of r and z add up, those of the candidate (the last third) do not."""
    gated = 2 * len(bias) // 3
    folded = np.concatenate([bias[:gated] + hidden_bias[:gated], bias[gated:]])
    return {"bias": folded, "recurrent_bias": hidden_bias[gated:]}


def _cell_to_torch(cell: Mapping[str, np.ndarray], kind: str, gates: int, suffix: str) -> dict[str, np.ndarray]:
    _check_cell(cell, {"rnn": set(), "lstm": {"projection_kernel"}, "gru": {"recurrent_bias"}}[kind], "PyTorch")
    kernel = _take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates
    projection = cell.get("projection_kernel")
    rows = features if projection is None else projection.shape[1]
    hidden_bias = np.zeros(width, kernel.dtype)
    if kind == "gru":
        hidden_bias[2 * features :] = _take(cell, "recurrent_bias", features)
    state = {
        f"weight_ih{suffix}": kernel.T,
        f"weight_hh{suffix}": _take(cell, "recurrent_kernel", rows, gates * features).T,
        f"bias_ih{suffix}": _take(cell, "bias", width),
        f"bias_hh{suffix}": hidden_bias,
    }
    if projection is not None:
        state[f"weight_hr{suffix}"] = projection.T
    return state


def _swap_gates(array: np.ndarray) -> np.ndarray:
    """Keras' z, r, n to r, z, n along the last axis, and back."""
    z, r, n = np.split(array, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


def _cell_from_keras(arrays: Sequence[np.ndarray], kind: str, gates: int, reset_after: bool) -> Tree:
    names: dict[str, np.ndarray] = dict(zip(("kernel", "recurrent_kernel", "bias"), arrays, strict=False))
    kernel = _take(names, "kernel", None, None)
    width = kernel.shape[1]
    recurrent = _take(names, "recurrent_kernel", width // gates, width)
    if kind == "gru":
        kernel, recurrent = _swap_gates(kernel), _swap_gates(recurrent)
    if "bias" not in names:
        bias = np.zeros((2, width) if kind == "gru" and reset_after else width, kernel.dtype)
    elif kind == "gru" and names["bias"].ndim == 2:
        bias = _swap_gates(_take(names, "bias", 2, width))
    else:
        bias = _take(names, "bias", width)
        bias = _swap_gates(bias) if kind == "gru" else bias
    cell = {"input_kernel": kernel, "recurrent_kernel": recurrent}
    return cell | (_split_candidate(*bias) if bias.ndim == 2 else {"bias": bias})


def _cell_to_keras(cell: Mapping[str, np.ndarray], kind: str, gates: int) -> list[np.ndarray]:
    _check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "Keras")
    kernel = _take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates
    arrays = [kernel, _take(cell, "recurrent_kernel", features, width), _take(cell, "bias", width)]
    if "recurrent_bias" in cell:
        hidden_bias = np.zeros(width, kernel.dtype)
        hidden_bias[2 * features :] = _take(cell, "recurrent_bias", features)
        arrays[2] = np.stack([arrays[2], hidden_bias])
    return [_swap_gates(array) for array in arrays] if kind == "gru" else arrays


def _cell_from_flax(params: Mapping[str, Any], kind: str) -> Tree:
    """Ours from a Flax cell's parameters, or from those of an ``nn.RNN`` around it."""
    cell = params["cell"] if set(params) == {"cell"} else params
    names = _FLAX[kind]
    parts = {f"i{name}" for name in names} | {f"h{name}" for name in names}
    if set(cell) != parts:
        raise UsageError(f"a flax.linen {kind} cell has {sorted(parts)}, got {sorted(cell)}")

    def fused(side: str, part: str) -> np.ndarray:
        return np.concatenate([np.asarray(cell[side + name][part]) for name in names], axis=-1)

    tree = {"input_kernel": fused("i", "kernel"), "recurrent_kernel": fused("h", "kernel")}
    tree["bias"] = fused("h" if kind == "lstm" else "i", "bias")
    if kind == "gru":
        tree["recurrent_bias"] = np.asarray(cell["hn"]["bias"])
    return tree


def _cell_to_flax(cell: Mapping[str, np.ndarray], kind: str) -> Tree:
    names = _FLAX[kind]
    _check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "flax.linen")
    kernel = _take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // len(names)
    recurrent = _take(cell, "recurrent_kernel", features, width)
    tree: Tree = {}
    for side, fused in (("i", kernel), ("h", recurrent)):
        for name, part in zip(names, np.split(fused, len(names), axis=1), strict=True):
            tree[side + name] = {"kernel": part}
    for name, part in zip(names, np.split(_take(cell, "bias", width), len(names)), strict=True):
        tree[("h" if kind == "lstm" else "i") + name]["bias"] = part
    if kind == "gru":
        tree["hn"]["bias"] = _take(cell, "recurrent_bias", features)
    return tree

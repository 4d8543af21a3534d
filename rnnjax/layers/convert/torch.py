"""Weights of ``torch.nn.{RNN, LSTM, GRU}`` and of their cells."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import (
    Tree,
    as_array,
    check_cell,
    check_no_bias,
    directions,
    folded,
    gates_of,
    layers,
    own_arrays,
    split_candidate,
    take,
)

_NAME = r"(?:weight|bias)_(?:ih|hh|hr)_l(\d+)(?:_reverse)?"
_OF_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
_REPARAMETRISED = re.compile(r"(?:^|\.)parametrizations\.|weight_(?:ih|hh|hr)(?:_l\d+\w*)?_(?:g|v|raw|orig)$")


@own_arrays
def from_torch(state: Mapping[str, Any], kind: str, prefix: str = "") -> Tree:
    """The parameters of a ``StackedRNN`` from the ``state_dict()`` of a ``torch.nn`` recurrent module.

    Args:
      state: arrays by PyTorch's names, ``weight_ih_l0 [G * H, D]`` and so on; ``named_parameters()`` as a dictionary
        will do. Layers, directions, a projection (``weight_hr_l0``) and ``bias=False`` are seen from the names.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      prefix: of a whole model's state dict the name of the module, such as ``"encoder.rnn"``; all else is left out.
        What ``DataParallel`` and ``torch.compile`` put before all names is skipped.

    Returns:
      ``{"layers_0": tree, ...}``, of which ``["layers_0"]`` is that of one layer (see :func:`fitted`);
      of an ``LSTMCell``, ``GRUCell`` or ``RNNCell`` that of an ``RNN``, as :func:`cell_from_torch` gives it.
      PyTorch's two biases become one, their sum, except the GRU's of the candidate, which stay two. A layer with
      projection is for ``ProjectedLSTMCell``. ``RNN(nonlinearity="relu")`` has the same names as one with tanh: it is
      for ``SimpleRNNCell(features, activation=nn.relu)``.

    Raises:
      UsageError: if a name is unknown or missing, or a shape does not fit.
    """
    gates = gates_of(kind)
    arrays = below(state, prefix)
    if arrays and set(arrays) <= set(_OF_CELL):
        return {"cell": _cell_from(arrays, kind, gates, "")}
    places = {name: re.fullmatch(_NAME, name) for name in arrays}
    if unknown := [name for name, place in places.items() if place is None]:
        raise UsageError(_misnamed(unknown[0], f"torch.nn.{kind.upper()}", state))
    tree, taken = {}, set()
    for layer in range(1 + max(int(place[1]) for place in places.values() if place)):
        suffixes = [f"_l{layer}", f"_l{layer}_reverse"]
        if not any(re.fullmatch(rf"\w+_l{layer}_reverse", name) for name in arrays):
            suffixes.pop()
        cells = [{"cell": _cell_from(arrays, kind, gates, suffix)} for suffix in suffixes]
        taken |= {f"{name}{suffix}" for name in (*_OF_CELL, "weight_hr") for suffix in suffixes}
        tree[f"layers_{layer}"] = {"forward": cells[0], "backward": cells[1]} if len(cells) == 2 else cells[0]
    if left := sorted(set(arrays) - taken):
        raise UsageError(f"{left[0]!r} is no parameter of torch.nn.{kind.upper()}")
    return tree


@own_arrays
def cell_from_torch(state: Mapping[str, Any], kind: str, prefix: str = "") -> Tree:
    """The parameters of an ``RNN`` from the ``state_dict()`` of ``torch.nn.{RNNCell, LSTMCell, GRUCell}``.

    Args, raises: as :func:`from_torch`, with ``weight_ih``, ``weight_hh`` and maybe ``bias_ih`` and ``bias_hh``.

    Returns:
      ``{"cell": ...}``; what is below ``"cell"`` is the cell's own.
    """
    gates = gates_of(kind)
    arrays = below(state, prefix)
    if unknown := sorted(set(arrays) - set(_OF_CELL)):
        raise UsageError(_misnamed(unknown[0], f"torch.nn.{'' if kind == 'rnn' else kind.upper()}Cell", state))
    return {"cell": _cell_from(arrays, kind, gates, "")}


@own_arrays
def to_torch(params: Mapping[str, Any], kind: str, prefix: str = "", bias: bool = True) -> dict[str, np.ndarray]:
    """The inverse of :func:`from_torch`: arrays for ``load_state_dict`` (through ``torch.as_tensor``).

    Args:
      params: the parameters of a ``StackedRNN``, a ``Bidirectional`` or an ``RNN``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      prefix: the module's name in a whole model, such as ``"encoder.rnn"``; put before all names.
      bias: False for a module that is made with ``bias=False``.

    Returns:
      PyTorch's names and arrays. Biases stand in ``bias_ih``; ``bias_hh`` is zero but for the
      GRU's candidate. Of bfloat16, which PyTorch does not take from NumPy, float32 of the same values:
      ``load_state_dict`` gives it the dtype of its module, exactly.

    Raises:
      UsageError: if the tree is not one of these, or of a cell that PyTorch lacks; if biases that are not zero would
        be left out.
    """
    return _named(state_of(params, kind), prefix, bias)


@own_arrays
def cell_to_torch(params: Mapping[str, Any], kind: str, prefix: str = "", bias: bool = True) -> dict[str, np.ndarray]:
    """The inverse of :func:`cell_from_torch`; arguments and errors as :func:`to_torch`.

    Args:
      params: the parameters of an ``RNN``.
    """
    cell, *others = directions(params)
    if others or "projection_kernel" in cell:
        raise UsageError("a cell of torch.nn has one direction and no projection; to_torch converts layers")
    return _named(_cell_to(cell, kind, ""), prefix, bias)


def state_of(params: Mapping[str, Any], kind: str) -> dict[str, np.ndarray]:
    """As :func:`to_torch`, in the dtype of the parameters, which may be one that NumPy does not know."""
    state: dict[str, np.ndarray] = {}
    for layer, tree in enumerate(layers(params, "PyTorch")):
        for suffix, cell in zip(("", "_reverse"), directions(tree), strict=False):
            state |= _cell_to(cell, kind, f"_l{layer}{suffix}")
    return state


def below(state: Mapping[str, Any], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of one module of a state dict, by its own names.

    Raises:
      UsageError: if there is none of that name.
    """
    if not isinstance(state, Mapping):
        raise UsageError(f"expected a state dict, arrays by name, got {type(state).__name__}: module.state_dict()")
    if not state:
        raise UsageError("the state dict is empty")
    prefix = f"{prefix.rstrip('.')}." if prefix else ""
    cut = _wrapper(state)
    names = {name[cut:]: name for name in state}
    if not any(name.startswith(prefix) for name in names):  # the wrapper may be named in the prefix
        names = {name: name for name in state}
    found = {name[len(prefix) :]: whole for name, whole in names.items() if name.startswith(prefix)}
    if not found:
        raise UsageError(f"nothing in the state dict begins with {prefix!r}; {_modules(state)}")
    return {name: as_array(state[whole]) for name, whole in found.items()}


def _wrapper(names: Iterable[str]) -> int:
    """The length of what wrappers put before all names."""
    cut = 0
    while found := [wrapper for wrapper in _WRAPPERS if all(name.startswith(wrapper, cut) for name in names)]:
        cut += len(found[0])
    return cut


def _modules(state: Mapping[str, Any]) -> str:
    found = (re.fullmatch(rf"(.*\.)(?:{_NAME}|weight_ih)", name) for name in state)
    prefixes = sorted({place[1].rstrip(".") for place in found if place})
    if not prefixes:
        return f"it has {', '.join(sorted(state)[:6])}{' and others' if len(state) > 6 else ''}"
    return f"recurrent modules in it are {', '.join(repr(each) for each in prefixes)}"


def _misnamed(name: str, what: str, state: Mapping[str, Any]) -> str:
    if any(_REPARAMETRISED.search(each) for each in state):
        return (
            f"{name!r} is no parameter of {what}: weights are parametrised, by weight_norm or the like; remove that "
            "first, by torch.nn.utils.remove_weight_norm or parametrize.remove_parametrizations"
        )
    return (
        f"{name!r} is no parameter of {what}; strip prefixes of outer modules, or name the module by prefix=; "
        f"{_modules(state)}"
    )


def _named(state: dict[str, np.ndarray], prefix: str, bias: bool) -> dict[str, np.ndarray]:
    if not bias:
        check_no_bias([array for name, array in state.items() if name.startswith("bias")], "bias=False")
        state = {name: array for name, array in state.items() if not name.startswith("bias")}
    prefix = f"{prefix.rstrip('.')}." if prefix else ""
    return {f"{prefix}{name}": for_torch(array) for name, array in state.items()}


def for_torch(array: np.ndarray) -> np.ndarray:
    """An array that ``torch.as_tensor`` takes: bfloat16 as float32, which holds each of its numbers."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _cell_from(arrays: Mapping[str, np.ndarray], kind: str, gates: int, suffix: str) -> Tree:
    kernel = take(arrays, f"weight_ih{suffix}", None, None)
    width, features = kernel.shape[0], kernel.shape[0] // gates
    projection = take(arrays, f"weight_hr{suffix}", None, features) if f"weight_hr{suffix}" in arrays else None
    rows = features if projection is None else projection.shape[0]
    recurrent = take(arrays, f"weight_hh{suffix}", gates * features, rows)
    if f"bias_ih{suffix}" in arrays or f"bias_hh{suffix}" in arrays:
        bias = take(arrays, f"bias_ih{suffix}", width)
        hidden_bias = take(arrays, f"bias_hh{suffix}", width)
    else:
        bias = hidden_bias = np.zeros(width, kernel.dtype)
    cell = {"input_kernel": kernel.T, "recurrent_kernel": recurrent.T, "bias": folded(bias, hidden_bias)}
    if kind == "gru":
        cell |= split_candidate(bias, hidden_bias)
    if projection is not None:
        cell["projection_kernel"] = projection.T
    return cell


def _cell_to(cell: Mapping[str, np.ndarray], kind: str, suffix: str) -> dict[str, np.ndarray]:
    gates = gates_of(kind)
    check_cell(cell, {"rnn": set(), "lstm": {"projection_kernel"}, "gru": {"recurrent_bias"}}[kind], "PyTorch")
    kernel = take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates
    projection = cell.get("projection_kernel")
    rows = features if projection is None else projection.shape[1]
    hidden_bias = np.zeros(width, kernel.dtype)
    if kind == "gru":
        hidden_bias[2 * features :] = take(cell, "recurrent_bias", features)
    state = {
        f"weight_ih{suffix}": kernel.T,
        f"weight_hh{suffix}": take(cell, "recurrent_kernel", rows, gates * features).T,
        f"bias_ih{suffix}": take(cell, "bias", width),
        f"bias_hh{suffix}": hidden_bias,
    }
    if projection is not None:
        state[f"weight_hr{suffix}"] = projection.T
    return state

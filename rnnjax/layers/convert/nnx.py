"""Weights of ``flax.nnx`` cells, ``nnx.RNN`` and ``nnx.Bidirectional``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import Tree, as_array, check_cell, directions, gates_of, known, own_arrays, take

_LSTM = {"i": "i", "f": "f_", "g": "g", "o": "o"}
"""The LSTM's gates in our order, and what ``nnx.LSTMCell`` calls their parts that read the inputs, after ``i``."""


@own_arrays
def from_nnx(state: Mapping[str, Any], kind: str) -> Tree:
    """The parameters of an ``RNN`` or ``Bidirectional`` from those of a ``flax.nnx`` cell or layer.

    Args:
      state: ``nnx.to_pure_dict(nnx.state(layer, nnx.Param))`` of ``SimpleCell`` (kind ``"rnn"``), ``LSTMCell``,
        ``OptimizedLSTMCell`` (``"lstm"``) or ``GRUCell`` (``"gru"``), or of an ``RNN`` or ``Bidirectional`` of them.
        Their activations are taken to be those that they have by default.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Raises:
      UsageError: if the names are not those of such a cell or layer, or a shape does not fit.
    """
    known(kind)
    if set(state) == {"forward_rnn", "backward_rnn"}:
        return {"forward": from_nnx(state["forward_rnn"], kind), "backward": from_nnx(state["backward_rnn"], kind)}
    cell = state["cell"] if set(state) == {"cell"} else state
    apart = {f"i{name}" for name in _LSTM.values()} | {f"h{name}" for name in _LSTM}
    if kind == "lstm" and set(cell) == apart:
        cell = {"dense_i": _joined(cell, "i", _LSTM.values()), "dense_h": _joined(cell, "h", _LSTM)}
    if set(cell) != {"dense_i", "dense_h"}:
        raise UsageError(f"a flax.nnx {kind} cell has dense_i and dense_h, got {sorted(map(str, cell))}")
    return {"cell": _cell_from(cell, kind)}


@own_arrays
def to_nnx(params: Mapping[str, Any], kind: str, gates_apart: bool = False) -> Tree:
    """The inverse of :func:`from_nnx`, for ``nnx.replace_by_pure_dict`` and ``nnx.update``.

    Args:
      params: the parameters of an ``RNN`` or a ``Bidirectional``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.
      gates_apart: True for ``nnx.LSTMCell``, which keeps its gates apart; ``OptimizedLSTMCell`` has them side by side.

    Returns:
      Of an ``RNN`` what ``nnx.RNN`` has, ``{"cell": ...}``; of a ``Bidirectional`` that of ``nnx.Bidirectional``.

    Raises:
      UsageError: if the tree is of a cell that ``flax.nnx`` lacks, as a GRU whose candidate has a recurrent bias.
    """
    if gates_apart and known(kind) != "lstm":
        raise UsageError(f"flax.nnx has no {kind} cell with its gates apart, only LSTMCell")
    cells = [{"cell": _cell_to(cell, kind, gates_apart)} for cell in directions(params)]
    return cells[0] if len(cells) == 1 else {"forward_rnn": cells[0], "backward_rnn": cells[1]}


def _joined(cell: Mapping[str, Any], side: str, names: Any) -> dict[str, np.ndarray]:
    parts = [cell[f"{side}{name}"] for name in names]
    shared = [each for each in ("kernel", "bias") if all(each in part for part in parts)]
    return {each: np.concatenate([as_array(part[each]) for part in parts], axis=-1) for each in shared}


def _cell_from(cell: Mapping[str, Any], kind: str) -> Tree:
    arrays = {f"{side}.{name}": as_array(leaf) for side, part in cell.items() for name, leaf in part.items()}
    kernel = take(arrays, "dense_i.kernel", None, None)
    width = kernel.shape[1]
    where = "dense_h.bias" if kind == "lstm" else "dense_i.bias"
    if unknown := sorted(set(arrays) - {"dense_i.kernel", "dense_h.kernel", where}):
        raise UsageError(f"{unknown[0]!r} is no parameter of a flax.nnx {kind} cell")
    features = width // gates_of(kind)
    tree = {
        "input_kernel": kernel,
        "recurrent_kernel": take(arrays, "dense_h.kernel", features, width),
        "bias": take(arrays, where, width),
    }
    return tree | ({"recurrent_bias": np.zeros(features, kernel.dtype)} if kind == "gru" else {})


def _cell_to(cell: Mapping[str, np.ndarray], kind: str, gates_apart: bool) -> Tree:
    check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "flax.nnx")
    kernel = take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates_of(kind)
    if kind == "gru" and take(cell, "recurrent_bias", features).any():
        raise UsageError("the GRU's candidate has a recurrent bias that is not zero, and flax.nnx has no place for it")
    read = {"kernel": kernel}
    kept = {"kernel": take(cell, "recurrent_kernel", features, width)}
    (kept if kind == "lstm" else read)["bias"] = take(cell, "bias", width)
    if not gates_apart:
        return {"dense_i": read, "dense_h": kept}
    tree: Tree = {}
    for side, part, names in (("i", read, _LSTM.values()), ("h", kept, _LSTM)):
        for place, name in enumerate(names):
            tree[side + name] = {each: np.split(leaf, 4, axis=-1)[place] for each, leaf in part.items()}
    return tree

"""Weights of ``flax.linen`` cells, ``nn.RNN`` and ``nn.Bidirectional``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.arrays import Tree, as_array, check_cell, directions, known, own_arrays, take

_NAMES = {"rnn": ("",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""What Flax calls the gates, in our order."""


@own_arrays
def from_flax(cell: Mapping[str, Any], kind: str) -> Tree:
    """The parameters of an ``RNN`` or ``Bidirectional`` from those of a ``flax.linen`` cell or layer.

    Args:
      cell: the parameters of ``SimpleCell`` (kind ``"rnn"``), ``LSTMCell``, ``OptimizedLSTMCell``
        (``"lstm"``) or ``GRUCell`` (``"gru"``); or of ``nn.RNN``, which keeps the cell's under ``"cell"``; or
        of ``nn.Bidirectional``, ``{"forward_rnn": {"cell": ...}, "backward_rnn": {"cell": ...}}``. A cell that is made
        inside ``@nn.compact`` has its parameters beside the layer's, as ``OptimizedLSTMCell_0``.
      kind: ``"rnn"``, ``"lstm"`` or ``"gru"``.

    Raises:
      UsageError: if the names are not those of such a cell or layer.
    """
    known(kind)
    if set(cell) == {"forward_rnn", "backward_rnn"}:
        ahead, behind = (_cell_from(cell[name], kind) for name in ("forward_rnn", "backward_rnn"))
        return {"forward": {"cell": ahead}, "backward": {"cell": behind}}
    return {"cell": _cell_from(cell, kind)}


@own_arrays
def to_flax(params: Mapping[str, Any], kind: str) -> Tree:
    """The inverse of :func:`from_flax`: Flax' parameters from those of an ``RNN`` or ``Bidirectional``.

    Returns:
      Of an ``RNN`` the parameters of the ``flax.linen`` cell, what ``nn.RNN`` keeps under ``"cell"``; of a
      ``Bidirectional`` those of ``nn.Bidirectional``.

    Raises:
      UsageError: if the tree is not one of these, or of a cell that Flax lacks.
    """
    known(kind)
    cells = [_cell_to(cell, kind) for cell in directions(params)]
    if len(cells) == 1:
        return cells[0]
    return {"forward_rnn": {"cell": cells[0]}, "backward_rnn": {"cell": cells[1]}}


def _cell_from(params: Mapping[str, Any], kind: str) -> Tree:
    """Ours from a Flax cell's parameters, or from those of an ``nn.RNN`` around it."""
    cell = params["cell"] if set(params) == {"cell"} else params
    names = _NAMES[kind]
    parts = {f"i{name}" for name in names} | {f"h{name}" for name in names}
    if set(cell) != parts:
        raise UsageError(f"a flax.linen {kind} cell has {sorted(parts)}, got {sorted(cell)}")

    def fused(side: str, part: str) -> np.ndarray:
        arrays = {name: as_array(cell[side + name][part]) for name in names if part in cell[side + name]}
        if len(arrays) < len(names):
            raise UsageError(f"{part!r} is missing in a gate of a flax.linen {kind} cell")
        return np.concatenate([arrays[name] for name in names], axis=-1)

    tree = {"input_kernel": fused("i", "kernel"), "recurrent_kernel": fused("h", "kernel")}
    tree["bias"] = fused("h" if kind == "lstm" else "i", "bias")
    if kind == "gru":
        tree["recurrent_bias"] = as_array(cell["hn"]["bias"])
    return tree


def _cell_to(cell: Mapping[str, np.ndarray], kind: str) -> Tree:
    names = _NAMES[kind]
    check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "flax.linen")
    kernel = take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // len(names)
    recurrent = take(cell, "recurrent_kernel", features, width)
    tree: Tree = {}
    for side, fused in (("i", kernel), ("h", recurrent)):
        for name, part in zip(names, np.split(fused, len(names), axis=1), strict=True):
            tree[side + name] = {"kernel": part}
    for name, part in zip(names, np.split(take(cell, "bias", width), len(names)), strict=True):
        tree[("h" if kind == "lstm" else "i") + name]["bias"] = part
    if kind == "gru":
        tree["hn"]["bias"] = take(cell, "recurrent_bias", features)
    return tree

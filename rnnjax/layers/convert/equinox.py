"""Weights of ``equinox.nn.LSTMCell`` and ``GRUCell``: PyTorch's layout with the biases that we have."""

from collections.abc import Mapping
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
    known,
    own_arrays,
    take,
)


@own_arrays
def from_equinox(cell: Any) -> Tree:
    """The parameters of an ``RNN`` from an ``equinox.nn.LSTMCell`` or ``GRUCell``.

    Equinox' LSTM has the carry ``(h, c)``, ours ``(c, h)``.

    Raises:
      UsageError: if it is neither.
    """
    names = ("weight_ih", "weight_hh", "bias", "bias_n")
    arrays = {name: as_array(value) for name in names if (value := getattr(cell, name, None)) is not None}
    if not {"weight_ih", "weight_hh"} <= set(arrays):
        raise UsageError(f"expected an equinox.nn.LSTMCell or GRUCell, got {type(cell).__name__}")
    recurrent = take(arrays, "weight_hh", None, None)
    width, features = recurrent.shape
    if width not in (3 * features, 4 * features):
        raise UsageError(f"'weight_hh' should be [4 * H, H] or [3 * H, H], got {recurrent.shape}")
    tree = {"input_kernel": take(arrays, "weight_ih", width, None).T, "recurrent_kernel": recurrent.T}
    tree["bias"] = take(arrays, "bias", width) if "bias" in arrays else np.zeros(width, recurrent.dtype)
    if width == 3 * features:
        zeros = np.zeros(features, recurrent.dtype)
        tree["recurrent_bias"] = take(arrays, "bias_n", features) if "bias_n" in arrays else zeros
    return {"cell": tree}


@own_arrays
def to_equinox(params: Mapping[str, Any], kind: str, use_bias: bool = True) -> dict[str, np.ndarray]:
    """The inverse of :func:`from_equinox`: arrays by the names of a cell's fields, for ``equinox.tree_at``.

    Args:
      params: the parameters of an ``RNN``.
      kind: ``"lstm"`` or ``"gru"``.
      use_bias: False for a cell that is made with ``use_bias=False``.

    Raises:
      UsageError: if the tree is of a cell that Equinox lacks; if biases that are not zero would be left out.
    """
    if known(kind) == "rnn":
        raise UsageError("Equinox has LSTMCell and GRUCell, and no simple recurrence")
    cell, *others = directions(params)
    if others:
        raise UsageError("a cell of Equinox has one direction; convert params['forward'] and params['backward']")
    check_cell(cell, {"recurrent_bias"} if kind == "gru" else set(), "Equinox")
    kernel = take(cell, "input_kernel", None, None)
    width, features = kernel.shape[1], kernel.shape[1] // gates_of(kind)
    made = {"weight_ih": kernel.T, "weight_hh": take(cell, "recurrent_kernel", features, width).T}
    biases = {"bias": take(cell, "bias", width)}
    if kind == "gru":
        biases["bias_n"] = take(cell, "recurrent_bias", features)
    if not use_bias:
        check_no_bias(list(biases.values()), "use_bias=False")
        return made
    return made | biases

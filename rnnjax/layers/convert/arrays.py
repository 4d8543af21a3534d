"""What all conversions share: arrays of any framework as NumPy's, kinds of layers, and checks of names and shapes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from rnnjax.errors import UsageError

Tree = dict[str, Any]
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def own_arrays(convert: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
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


def as_array(value: Any) -> np.ndarray:
    """A weight or a carry of any framework: without its history, on the host, bfloat16 of PyTorch as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):  # NumPy has no such dtype, and float32 holds each of its numbers
            value = value.float()
    return np.asarray(value)


def known(kind: str) -> str:
    """``kind``; raises UsageError where it is none."""
    if kind not in _GATES:
        raise UsageError(f"kind must be one of {', '.join(_GATES)}, got {kind!r}")
    return kind


def gates_of(kind: str) -> int:
    """How many blocks its fused kernels have."""
    return _GATES[known(kind)]


def directions(tree: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
    """The cells' parameters of an RNN (one) or a Bidirectional (forward, backward)."""
    parts = [tree["forward"], tree["backward"]] if set(tree) == {"forward", "backward"} else [tree]
    for part in parts:
        if set(part) != {"cell"}:
            hint = "; give variables['params']" if "params" in part else ""
            raise UsageError(
                f"expected the parameters of an RNN or a Bidirectional, got a tree of {sorted(part)}{hint}"
            )
    return [{name: as_array(value) for name, value in part["cell"].items()} for part in parts]


def layers(tree: Mapping[str, Any], peer: str) -> list[Mapping[str, Any]]:
    """The layers of a StackedRNN's parameters, lowest first; an RNN or a Bidirectional is its only one."""
    stack = tree if "layers_0" in tree else {"layers_0": tree}
    names = [f"layers_{layer}" for layer in range(len(stack))]
    if set(names) != set(stack):
        raise UsageError(f"{peer} has no place for {sorted(stack)}, only for layers_0, layers_1, ...")
    return [stack[name] for name in names]


def take(arrays: Mapping[str, np.ndarray], name: str, *shape: int | None) -> np.ndarray:
    """``arrays[name]``, which must be there and have this shape (None: any size)."""
    if name not in arrays:
        raise UsageError(f"{name!r} is missing; there are {sorted(arrays)}")
    array = arrays[name]
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        raise UsageError(f"{name!r} should have shape {shape} (None: any), got {array.shape}")
    return array


def check_cell(cell: Mapping[str, np.ndarray], allowed: set[str], where: str) -> None:
    """Raises UsageError where a cell has parameters that the peer's has not."""
    unknown = set(cell) - {"input_kernel", "recurrent_kernel", "bias"} - allowed
    if unknown:
        raise UsageError(f"{where} has no place for {sorted(unknown)}")


def check_no_bias(arrays: Sequence[np.ndarray], where: str) -> None:
    """Raises UsageError where a layer without biases would lose some."""
    if any(array.any() for array in arrays):
        raise UsageError(f"the biases are not zero, and {where} would lose them; make that layer with biases")


def folded(bias: np.ndarray, hidden_bias: np.ndarray) -> np.ndarray:
    """The sum of two biases; to the bit the first where the second is zero, -0.0 included."""
    return np.where(hidden_bias == 0, bias, bias + hidden_bias).astype(bias.dtype, copy=False)


def split_candidate(bias: np.ndarray, hidden_bias: np.ndarray) -> Tree:
    """The GRU's biases: those of r and z add up, those of the candidate (the last third) do not."""
    gated = 2 * len(bias) // 3
    gates = folded(bias[:gated], hidden_bias[:gated])
    return {"bias": np.concatenate([gates, bias[gated:]]), "recurrent_bias": hidden_bias[gated:]}

"""Variables by the names and in the layouts that PyTorch's modules have, and back.

Recurrent layers become what ``torch.nn.{RNN, LSTM, GRU}`` call them, one module for a stack where PyTorch has one;
``nn.Dense`` a ``Linear``, ``nn.Embed`` an ``Embedding``, convolutions and norms what PyTorch has, all below the names
that the parts have here: ``recurrent.weight_ih_l0``, ``head.Dense_0.weight``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.convert.torch import from_torch, state_of

_PARTS = {
    "dense": {"kernel": "weight", "bias": "bias"},
    "conv": {"kernel": "weight", "bias": "bias"},
    "embedding": {"embedding": "weight"},
    "norm": {"scale": "weight", "bias": "bias"},
    "statistics": {"mean": "running_mean", "var": "running_var"},
}
"""For each kind of layer our names, and PyTorch's."""


class Part(NamedTuple):
    """A part of the variables that becomes a module of PyTorch's.

    Attributes:
      rule: one of ``_PARTS``, or ``rnn``, ``lstm`` or ``gru``.
      path: of names, the collection first.
      names: our names in it; of recurrent layers ``layers`` for a stack, else none.
    """

    rule: str
    path: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What PyTorch's names begin with."""
        return "".join(f"{name}." for name in self.path[1:])


def parts(variables: Mapping[str, Any]) -> list[Part]:
    """The parts of a model's variables.

    Raises:
      UsageError: if PyTorch has no module for one of them.
    """
    if unknown := sorted(set(variables) - {"params", "batch_stats"}):
        raise UsageError(
            f"layout='torch' has no place for the collection {unknown[0]!r}; leave it out, or use layout='rnnjax'"
        )
    return [part for name, tree in variables.items() for part in _walk(tree, (name,))]


def to_state(variables: Mapping[str, Any], listed: list[Part]) -> dict[str, np.ndarray]:
    """Arrays by PyTorch's names, contiguous, each in its dtype."""
    state: dict[str, np.ndarray] = {}
    for part in listed:
        node: Any = variables
        for name in part.path:
            node = node[name]
        for name, array in _to(part, node).items():
            if f"{part.prefix}{name}" in state:
                raise UsageError(f"layout='torch' has two arrays of the name {part.prefix + name!r}")
            state[f"{part.prefix}{name}"] = np.array(array, order="C")
    return state


def from_state(state: Mapping[str, np.ndarray], listed: list[Part]) -> dict[str, Any]:
    """The inverse of :func:`to_state`."""
    variables: dict[str, Any] = {}
    for part in listed:
        node = variables
        for name in part.path[:-1]:
            node = node.setdefault(name, {})
        node[part.path[-1]] = _from(part, state)
    return variables


def _walk(node: Any, path: tuple[str, ...]) -> Iterator[Part]:
    if not isinstance(node, Mapping):
        raise UsageError(f"PyTorch has no module for {'/'.join(path)}; use layout='rnnjax'")
    names = tuple(sorted(node))
    recurrent = _recurrent(node)
    if recurrent is not None:
        yield Part(recurrent, path, ("layers",) if "layers_0" in node else ())
        return
    rule = _rule(node)
    if rule is not None:
        yield Part(rule, path, names)
        return
    for name in names:
        yield from _walk(node[name], (*path, name))


def _rule(node: Mapping[str, Any]) -> str | None:
    names = set(node)
    if not names or any(isinstance(leaf, Mapping) for leaf in node.values()):
        return None
    if "kernel" in names and names <= {"kernel", "bias"}:
        return "dense" if node["kernel"].ndim == 2 else "conv"
    if names == {"embedding"}:
        return "embedding"
    if "scale" in names and names <= {"scale", "bias"}:
        return "norm"
    return "statistics" if names == {"mean", "var"} else None


def _recurrent(node: Mapping[str, Any]) -> str | None:
    """The kind of the module of ``torch.nn`` whose parameters these can be, or None."""
    stack = "layers_0" in node and set(node) == {f"layers_{at}" for at in range(len(node))}
    layers = [node[f"layers_{at}"] for at in range(len(node))] if stack else [node]
    cells = []
    for layer in layers:
        both = isinstance(layer, Mapping) and set(layer) == {"forward", "backward"}
        directions = [layer["forward"], layer["backward"]] if both else [layer]
        if any(not isinstance(one, Mapping) or set(one) != {"cell"} for one in directions):
            return None
        if any("input_kernel" not in one["cell"] for one in directions):
            return None
        cells.append([one["cell"] for one in directions])
    kinds = {_kind(cell) for layer in cells for cell in layer}
    alike = {(len(layer), *(cell["recurrent_kernel"].shape for cell in layer)) for layer in cells if None not in kinds}
    return next(iter(kinds)) if len(kinds) == 1 and len(alike) == 1 else None  # PyTorch's layers are of one size


def _kind(cell: Mapping[str, Any]) -> str | None:
    names = set(cell) - {"input_kernel", "recurrent_kernel", "bias"}
    if len(cell) - len(names) < 3:
        return None
    features = cell["projection_kernel"].shape[0] if "projection_kernel" in names else cell["recurrent_kernel"].shape[0]
    gates = cell["recurrent_kernel"].shape[1] / features
    if gates == 1 and not names:
        return "rnn"
    if gates == 4 and names <= {"projection_kernel"}:
        return "lstm"
    return "gru" if gates == 3 and names == {"recurrent_bias"} else None


def _to(part: Part, node: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if part.rule not in _PARTS:
        return state_of(node, part.rule)
    return {theirs: _turned(part.rule, node[ours], 1) for ours, theirs in _PARTS[part.rule].items() if ours in node}


def _from(part: Part, state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if part.rule in _PARTS:
        names = _PARTS[part.rule]
        return {ours: _turned(part.rule, state[part.prefix + names[ours]], -1) for ours in part.names}
    own = {name[len(part.prefix) :]: array for name, array in state.items() if name.startswith(part.prefix)}
    tree = from_torch({name: array for name, array in own.items() if "." not in name}, part.rule)
    return tree if part.names else tree["layers_0"]


def _turned(rule: str, array: np.ndarray, sign: int) -> np.ndarray:
    """A kernel as PyTorch has it, and with ``sign=-1`` back; all else as it is."""
    if rule == "dense" and array.ndim == 2:
        return array.T
    if rule == "conv" and array.ndim > 2:  # [*space, I, O] and [O, I, *space]
        return np.moveaxis(array, (-1, -2), (0, 1)) if sign > 0 else np.moveaxis(array, (0, 1), (-1, -2))
    return array

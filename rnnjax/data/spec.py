"""What a data set says of its examples to whoever builds a model or reads its outputs."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np


class Shape(NamedTuple):
    """Shape and dtype of a batch of one example."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: Any) -> Self:
        """That of an array, or of anything that has both."""
        return cls(tuple(array.shape), np.dtype(array.dtype))


class Spec(NamedTuple):
    """What goes into a model, and what is to come out.

    Attributes:
      inputs: the model's arguments by name, as a batch of one example; ``lengths`` is among them where rows differ in
        length. A name with slashes is a part of an argument that is a tree, see :func:`nested`.
      outputs: how many values the targets have: classes, or columns.
      vocabulary: number of token ids; 0 where the inputs are no tokens.
      names: of the outputs, such as those of classes, in their order.
      per_step: whether there are such outputs at each step of a sequence.
    """

    inputs: Mapping[str, Shape]
    outputs: int = 1
    vocabulary: int = 0
    names: tuple[str, ...] = ()
    per_step: bool = False

    def zeros(self) -> dict[str, Any]:
        """Arguments of a model for one example, to find out the shapes of what it makes of them."""
        arrays = {name: np.zeros(like.shape, like.dtype) for name, like in self.inputs.items()}
        if "lengths" in arrays:
            arrays["lengths"] += 1
        return nested(arrays)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        inputs = {name: [list(like.shape), like.dtype.name] for name, like in self.inputs.items()}
        said = {"inputs": inputs, "outputs": self.outputs, "vocabulary": self.vocabulary, "names": list(self.names)}
        return said | ({"per_step": True} if self.per_step else {})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError, KeyError or TypeError at what is none."""
        inputs = {name: Shape(tuple(shape), np.dtype(dtype)) for name, (shape, dtype) in values["inputs"].items()}
        names, per_step = tuple(values["names"]), bool(values.get("per_step", False))
        return cls(inputs, values["outputs"], values["vocabulary"], names, per_step)


def flat(name: str, tree: Any) -> dict[str, Any]:
    """The leaves of an argument that is a tree of dictionaries and tuples, by their paths: ``inputs/left/0``."""
    if isinstance(tree, Mapping):
        return {path: leaf for key, part in tree.items() for path, leaf in flat(f"{name}/{key}", part).items()}
    if isinstance(tree, tuple):
        return flat(name, {str(number): part for number, part in enumerate(tree)})
    return {name: tree}


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flat` for all arguments of a model; parts that are called by numbers make a tuple."""
    groups: dict[str, Any] = {}
    for path, leaf in arrays.items():
        name, _, rest = path.partition("/")
        if rest:
            groups.setdefault(name, {})[rest] = leaf
        else:
            groups[name] = leaf
    out = {}
    for name, leaf in groups.items():
        tree = nested(leaf) if isinstance(leaf, dict) else leaf
        numbered = isinstance(tree, dict) and all(key.isdigit() for key in tree)
        out[name] = tuple(tree[key] for key in sorted(tree, key=int)) if numbered else tree
    return out

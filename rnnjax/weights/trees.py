"""Trees of variables as nested dictionaries of NumPy arrays, and what makes the same tree of them again.

A file holds arrays by their paths, names joined by ``/``. What no array's name tells stands beside them: dictionaries
with nothing in them, and tuples and lists, such as the carry ``(c, h)`` of an LSTM that is kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError

_SEQUENCES = {"tuple": tuple, "list": list}


def of_arrays(node: Any, path: str, dtypes: Mapping[str, str]) -> Any:
    """Nested dictionaries, tuples and lists of NumPy arrays, contiguous and in the machine's order of bytes.

    Raises:
      UsageError: if a name, a container or a leaf is one that a file cannot hold.
    """
    if isinstance(node, Mapping):
        if wrong := [name for name in node if not isinstance(name, str) or "/" in name or not name]:
            raise UsageError(f"{path}: a file cannot name {wrong[0]!r}; names are text without a slash")
        return {name: of_arrays(part, f"{path}/{name}", dtypes) for name, part in node.items()}
    if type(node) in _SEQUENCES.values():  # a stack's layers without a carry have None in theirs
        parts = (None if part is None else of_arrays(part, f"{path}/{at}", dtypes) for at, part in enumerate(node))
        return type(node)(parts)
    if not hasattr(node, "dtype") or jnp.issubdtype(node.dtype, jax.dtypes.prng_key):
        raise UsageError(f"{path}: a safetensors file holds arrays of numbers, no {type(node).__name__}")
    array = np.asarray(node)
    if array.dtype.name not in dtypes.values():
        raise UsageError(f"{path}: a safetensors file holds no {array.dtype.name}")
    native = array.dtype if array.dtype.isnative else array.dtype.newbyteorder("=")
    return np.array(array, dtype=native, order="C")


def form(tree: Any) -> dict[str, Any]:
    """What no array's name tells, as JSON values for :func:`formed`."""
    told = list(_told(tree, ""))
    empty = [path for path, kind in told if kind is None]
    sequences = [[path, *kind] for path, kind in told if kind is not None]
    return {"empty": empty} | ({"sequences": sequences} if sequences else {})


def _told(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Paths of what has to be told, what is inside before what it is in: None, or kind and length of a sequence."""
    if isinstance(node, dict):
        if not node:
            yield path, None
        for name, part in node.items():
            yield from _told(part, f"{path}{name}/")
    elif isinstance(node, tuple | list):
        for at, part in enumerate(node):
            yield from _told(part, f"{path}{at}/")
        yield path, (type(node).__name__, len(node))


def grown(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The nested dictionaries of arrays by their paths."""
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *above, name = path.split("/")
        _node(tree, above)[name] = array
    return tree


def formed(tree: dict[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with what :func:`form` told of it."""
    for path in told["empty"]:
        _node(tree, path.rstrip("/").split("/"))
    for path, kind, length in told.get("sequences", ()):
        *above, name = path.rstrip("/").split("/")
        parent = _node(tree, above)
        parts = parent.get(name, {})
        parent[name] = _SEQUENCES[kind](parts.get(str(at)) for at in range(length))
    return tree


def _node(tree: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The dictionary at a path, made where there is none."""
    for name in path:
        tree = tree.setdefault(name, {})
    return tree

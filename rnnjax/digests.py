"""Digests: what was saved is what is read, or it is said."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

# JAX and NumPy are imported where they are used: the command line's --help waits for neither.


def of_json(value: Any) -> str:
    """SHA-256 of JSON values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def of_array(array: Any) -> str:
    """SHA-256 of an array's dtype, shape and bytes."""
    import numpy as np

    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape} ".encode("ascii"))
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def of_documents(documents: Iterable[str]) -> str:
    """SHA-256 of texts in their order."""
    digest = hashlib.sha256()
    for document in documents:
        encoded = document.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big"))  # so that no text flows into the next
        digest.update(encoded)
    return digest.hexdigest()


def of_tree(tree: Any) -> dict[str, dict[str, Any]]:
    """``shape``, ``dtype`` and ``sha256`` of each leaf, by its path."""
    return {path: {**described(leaf), "sha256": of_array(leaf)} for path, leaf in leaves(tree).items()}


def shapes(tree: Any) -> dict[str, dict[str, Any]]:
    """``shape`` and ``dtype`` of each leaf, by its path; no leaf needs to be an array that exists."""
    return {path: described(leaf) for path, leaf in leaves(tree).items()}


def described(leaf: Any) -> dict[str, Any]:
    """Shape and dtype as JSON values."""
    import numpy as np

    return {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}


def leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, names joined by ``/``."""
    import jax

    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}


def first_difference(ours: Any, theirs: Any, name: str = "") -> str | None:
    """Where two JSON values first differ, as a path of keys; None if they agree in all that both have.

    A key that one of them lacks counts for nothing: another version of this package had no such field.
    """
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        return None if ours == theirs else name
    parts = (
        first_difference(ours[key], theirs[key], f"{name}.{key}" if name else str(key)) for key in ours if key in theirs
    )
    return next((part for part in parts if part is not None), None)


def shown_difference(ours: Any, theirs: Any, path: str) -> str:
    """A line that names a :func:`first_difference` below the name ``model`` and shows both values."""
    for key in path.split(".")[1:]:
        ours, theirs = ours[key], theirs[key]
    return f"{path}: {ours!r:.120}, not {theirs!r:.120}"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with a digest of themselves, so that a file which holds them checks itself."""
    return {**values, "digest": of_json(values)}


def is_whole(values: Mapping[str, Any]) -> bool:
    """Whether :func:`sealed` values are as they were sealed."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    return values.get("digest") == of_json(rest)

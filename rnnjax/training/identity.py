"""What a module is, as JSON that is the same in every process: a work folder says by it what was trained.

A configuration describes the models of this package; of a module that somebody else wrote and handed to a program, it
knows nothing. Its class, its fields and the shapes of its variables tell it from others. What a class or a function
with a name does is not looked into; a lambda, which has none, is told by its compiled code, and so by Python's version.
"""

import dataclasses
import enum
import functools
import hashlib
import json
import math
import re
import sys
import types
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

_NOT_THE_MODEL = {"parent", "name", "axis_name", "axis_index_groups", "devices", "mesh"}
"""Fields that say where a module stands or on what devices it runs."""

_MOVING = {"flax", "jax", "jaxlib", "numpy", "optax", "rnnjax"}
"""Packages whose classes and functions move between their modules from version to version, under one name."""


def module_identity(model: nn.Module, variables: Any) -> dict[str, Any]:
    """Class, fields and variables of a module, the same for any number of devices.

    Args:
      model: unbound.
      variables: its variables, or their shapes: all collections by name.

    Returns:
      JSON: ``class``, ``fields``, and ``variables``, a digest of paths, shapes and dtypes.
    """
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    listed = sorted([jax.tree_util.keystr(path), list(leaf.shape), np.dtype(leaf.dtype).name] for path, leaf in leaves)
    return {**_Describer().fields(model), "variables": _digest(json.dumps(listed).encode())}


def describe(value: Any) -> dict[str, Any]:
    """Class and fields of any object, as JSON; of functions that it holds, their names and what they close over."""
    if dataclasses.is_dataclass(value):
        return _Describer().fields(value)
    return {"class": _name(type(value)), "fields": _Describer().of(value)}


class _Describer:
    """Values as JSON; it knows in which objects it is, since they may refer to each other in a circle."""

    def __init__(self):
        self._within: list[int] = []

    def fields(self, value: Any) -> dict[str, Any]:
        """Class and fields of a dataclass, a module's among them."""
        left_out = _NOT_THE_MODEL if isinstance(value, nn.Module) else set()
        names = [f.name for f in dataclasses.fields(value) if f.name not in left_out]
        return {"class": _name(type(value)), "fields": {name: self.of(getattr(value, name, None)) for name in names}}

    def of(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if isinstance(value, float) and not isinstance(value, np.generic):
            return value if math.isfinite(value) else repr(value)
        if id(value) in self._within:
            return "circle"
        self._within.append(id(value))
        try:
            return self._of_object(value)
        finally:
            self._within.pop()

    def _of_object(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            pairs = [[self.of(key), self.of(entry)] for key, entry in value.items()]
            return {"mapping": sorted(pairs, key=lambda pair: json.dumps(pair[0]))}
        if isinstance(value, AbstractSet):
            return {"set": sorted((self.of(entry) for entry in value), key=json.dumps)}
        if isinstance(value, list | tuple):
            return [self.of(entry) for entry in value]
        if (dtype := _dtype(value)) is not None:
            return {"dtype": dtype}
        if isinstance(value, type):
            return {"type": _name(value)}
        if isinstance(value, enum.Enum):
            return {"enum": f"{_name(type(value))}.{value.name}"}
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return _array(value)
        if dataclasses.is_dataclass(value):
            return self.fields(value)
        return self._callable(value) if callable(value) else self._other(value)

    def _callable(self, value: Any) -> Any:
        if isinstance(value, functools.partial):
            return {
                "partial": self.of(value.func),
                "arguments": self.of(value.args),
                "keywords": self.of(value.keywords),
            }
        if isinstance(value, types.MethodType):
            return {"method": value.__func__.__qualname__, "of": self.of(value.__self__)}
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if callable(wrapped := getattr(value, "__wrapped__", None)):  # jax.jit, jax.custom_jvp and their like
            return self.of(wrapped)
        if isinstance(value, types.BuiltinFunctionType | np.ufunc):
            return {"function": _name(value)}
        return self._other(value)

    def _function(self, value: types.FunctionType) -> Any:
        described: dict[str, Any] = {"function": _name(value)}
        if "<" not in value.__qualname__:  # found by its name, which says all
            return described
        for cell, name in zip(value.__closure__ or (), value.__code__.co_freevars, strict=True):
            try:
                described.setdefault("closure", {})[name] = self.of(cell.cell_contents)
            except ValueError:  # not filled yet
                described.setdefault("closure", {})[name] = "empty"
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        if any(default is not None for default in defaults):
            described["defaults"] = self.of(defaults)
        if value.__name__ == "<lambda>":
            described["code"] = _digest(json.dumps(self._code(value.__code__)).encode())
        return described

    def _code(self, code: types.CodeType) -> Any:
        """Without lines and file, which change when something above is edited."""
        constants = [self._code(c) if isinstance(c, types.CodeType) else self.of(c) for c in code.co_consts]
        return [code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars]

    def _other(self, value: Any) -> Any:
        described: dict[str, Any] = {"class": _name(type(value))}
        if isinstance(value, jax.Device | jax.sharding.Mesh | jax.sharding.Sharding):
            return described
        if type(value).__repr__ is object.__repr__:  # nothing but an address
            slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
            held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
            return described | {"fields": self.of(held | getattr(value, "__dict__", {}))}
        return described | {"repr": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))}


def _array(value: Any) -> Any:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return {"key": str(value.dtype), **_array(jax.random.key_data(value))}
    array = np.asarray(value)
    if array.dtype == object:
        return {"array": _digest(repr(array.tolist()).encode()), "dtype": "object", "shape": list(array.shape)}
    content = np.ascontiguousarray(array).tobytes()
    return {"array": _digest(content), "dtype": array.dtype.name, "shape": list(array.shape)}


def _dtype(value: Any) -> str | None:
    """``float32`` for ``np.float32``, ``jnp.float32`` and ``np.dtype("float32")`` alike; None of anything else."""
    scalar = isinstance(value, type) and issubclass(value, np.generic)
    if isinstance(value, np.dtype) or scalar or type(value).__name__ == "_ScalarMeta":
        return np.dtype(value).name
    return None


def _name(value: type | Callable) -> str:
    """Module and qualified name; of a script, by the name that others import it by."""
    module = getattr(value, "__module__", None) or ""
    main = sys.modules.get("__main__")
    if module == "__main__" and main is not None:
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    top = module.partition(".")[0]
    module = top if top in _MOVING else module
    return f"{module}.{getattr(value, '__qualname__', None) or getattr(value, '__name__', '')}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

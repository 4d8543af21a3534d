"""Modules that hold functions of JAX, and can be copied and pickled all the same.

``jnp.tanh`` and ``nn.relu`` are objects around functions, which ``copy.deepcopy`` makes anew, so that a copy of a
module is unequal to it, and which ``pickle`` does not find under their names.
"""

import copy
import dataclasses
import types
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple, Self

import flax.linen as nn

_NONE = object()


class Portable:
    """A module that ``copy.deepcopy`` makes an equal of, and that is pickled with its functions by their names."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo |= {id(function): function for function in _functions(vars(self))}  # as deepcopy does with plain ones
        made = memo[id(self)] = object.__new__(type(self))
        vars(made).update(copy.deepcopy(vars(self), memo))
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {name: _packed(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: _unpacked(value) for name, value in state.items()})


class _Name(NamedTuple):
    """Where a function is found."""

    module: str
    name: str


class _Module(NamedTuple):
    """A module of somebody else's, and what it holds."""

    kind: type
    state: dict[str, Any]  # without what its class has by default


def _packed(value: Any) -> Any:
    if isinstance(value, nn.Module) and not isinstance(value, Portable):
        held, defaults = vars(value).items(), _defaults(type(value))  # closures, often, which have no name
        return _Module(
            type(value), {name: _packed(part) for name, part in held if defaults.get(name, _NONE) is not part}
        )
    if type(value) is tuple:
        return tuple(map(_packed, value))
    name = _Name(getattr(value, "__module__", None) or "", getattr(value, "__qualname__", None) or "")
    return name if _is_function(value) and _found(name) is value else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, _Module):
        made = object.__new__(value.kind)
        vars(made).update(_defaults(value.kind) | {name: _unpacked(part) for name, part in value.state.items()})
        return made
    if type(value) is tuple:
        return tuple(map(_unpacked, value))
    return _attribute(value) if isinstance(value, _Name) else value


def _defaults(kind: Any) -> dict[str, Any]:
    return {each.name: each.default for each in dataclasses.fields(kind) if each.name != "parent"}


def _attribute(name: _Name) -> Any:
    return getattr(import_module(name.module), name.name)


def _found(name: _Name) -> Any:
    try:
        return _attribute(name)
    except (ImportError, AttributeError, ValueError):  # a closure, or an object without a name
        return None


def _is_function(value: Any) -> bool:
    """Whether it is an object around a function, as ``jax.jit`` and ``jax.custom_jvp`` make."""
    return callable(value) and not isinstance(value, type | types.FunctionType | nn.Module)


def _functions(state: dict[str, Any]) -> Iterator[Any]:
    """The functions that a module holds, and those of modules in it."""
    for value in state.values():
        for part in value if type(value) is tuple else (value,):
            if isinstance(part, nn.Module):
                yield from _functions(vars(part))
            elif _is_function(part):
                yield part

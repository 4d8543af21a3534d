"""An operation with two programs: one that JAX can run and not transform, and one for its transformations."""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir


def either(first: Callable[..., Any], other: Callable[..., Any], *operands: Any) -> Any:
    """``first(*operands)`` where it is run as it stands; under ``jax.vmap`` and in forward mode ``other``.

    Args:
      first: what is compiled, such as a call of a library that has no other rules.
      other: gives the same numbers, and arrays of the same shapes and dtypes, in the same tree.
      operands: trees of arrays.
    """
    flat, tree = jax.tree.flatten(operands)
    program, made = jax.make_jaxpr(lambda *flat: other(*jax.tree.unflatten(tree, flat)), return_shape=True)(*flat)

    def running(*flat: Any) -> list[Any]:
        return jax.tree.leaves(first(*jax.tree.unflatten(tree, flat)))

    return jax.tree.unflatten(jax.tree.structure(made), _either.bind(*flat, first=running, other=program))


def _jvp(primals: Any, tangents: Any, *, first: Callable[..., Any], other: Any) -> Any:
    del first
    primals, tangents = list(primals), [ad.instantiate_zeros(dot) for dot in tangents]
    return jax.jvp(jaxpr_as_fun(other), primals, tangents)


def _batch(arrays: Any, axes: Any, *, first: Callable[..., Any], other: Any) -> Any:
    del first
    results = jax.vmap(jaxpr_as_fun(other), tuple(axes))(*arrays)
    return results, [0] * len(results)


def _lower(context: Any, *arrays: Any, first: Callable[..., Any], other: Any) -> Any:
    """The first, of arrays that know of no mesh: inside ``jax.shard_map`` such an operation has no type for them."""
    del other
    inside = [ShapedArray(aval.shape, aval.dtype) for aval in context.avals_in]
    return mlir.lower_fun(first, multiple_results=True)(context.replace(avals_in=inside), *arrays)


_either = Primitive("either")
_either.multiple_results = True
_either.def_impl(lambda *flat, first, other: first(*flat))
_either.def_abstract_eval(lambda *flat, first, other: other.out_avals)
mlir.register_lowering(_either, _lower)
ad.primitive_jvps[_either] = _jvp
batching.primitive_batchers[_either] = _batch

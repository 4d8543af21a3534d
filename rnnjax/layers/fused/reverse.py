"""The sentence that forward mode gets, whoever asks for it and wherever JAX finds out."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from rnnjax.errors import UsageError


def reverse_mode_only(tree: Any) -> Any:
    """The arrays as they are; their derivatives can be taken in reverse mode alone.

    A ``custom_vjp`` refuses forward mode with a TypeError that names neither the function nor a way out, under ``jit``
    when the program is compiled. What stands before it in the program is met first: here an operation on its arguments
    that compiles to nothing, and whose tangents pass one that can be transposed and cannot run.

    Raises:
      UsageError: where a program with forward-mode derivatives runs, is compiled, or is mapped by ``vmap``.
    """

    def marked(leaf: Any) -> Any:
        is_float = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return _argument.bind(leaf) if is_float else leaf

    return jax.tree.map(marked, tree)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise UsageError(
        "RNN: implementation='fused', which 'auto' takes here, has no forward-mode derivatives; "
        "use implementation='scan'"
    )


_argument = Primitive("fused_argument")
_argument.def_impl(lambda array: array)
_argument.def_abstract_eval(lambda array: array)
mlir.register_lowering(_argument, lambda _, array: [array])
batching.defvectorized(_argument)
# The array itself goes on, as in a custom_vjp: a derivative of the gradient meets plain operations only.
ad.primitive_jvps[_argument] = lambda primals, tangents: (primals[0], _tangent_of(*tangents))

_tangent = Primitive("fused_argument_tangent")
_tangent.def_impl(_refuse)
_tangent.def_abstract_eval(lambda tangent: tangent)
mlir.register_lowering(_tangent, _refuse)
batching.primitive_batchers[_tangent] = _refuse
ad.deflinear2(_tangent, lambda cotangent, _: [cotangent])


def _tangent_of(tangent: Any) -> Any:
    return tangent if isinstance(tangent, ad.Zero) else _tangent.bind(tangent)

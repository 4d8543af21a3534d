"""Functions whose backward pass is written by hand, and whose forward mode is their own.

A ``custom_vjp`` has no forward mode, and a ``custom_jvp`` no transpose of one's own. Here is both: a ``custom_jvp``
whose rule runs the forward pass that saves what the backward pass needs, and takes the tangents through one linear
operation. Where that is transposed, as reverse mode does, it is the hand-written backward pass; where it runs, as
forward mode does, it is the forward mode of the function itself. What only the other needs, the compiler leaves out.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_MODES: ContextVar[Literal["both", "reverse", "forward"]] = ContextVar("modes", default="both")


@contextlib.contextmanager
def only(mode: Literal["reverse", "forward"]) -> Iterator[None]:
    """What is differentiated in the block is so in this mode alone: within a rule, which has the other by itself."""
    token = _MODES.set(mode)
    try:
        yield
    finally:
        _MODES.reset(token)


class ByHand:
    """A function with a backward pass written by hand.

    Attributes:
      function: ``(*static, *operands)`` give its outputs, floating-point arrays in any tree.
      static: how many of its first arguments are hashable and no arrays.
    """

    def __init__(self, function: Callable[..., Any], static: int):
        self.function, self.static = function, static
        self.forward: Callable[..., Any] = function
        self.backward: Callable[..., Any] = function
        self._reverse = jax.custom_vjp(function, nondiff_argnums=tuple(range(static)))
        functools.update_wrapper(self, function)

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """The rules, as those of ``jax.custom_vjp`` with the static arguments first."""
        self.forward, self.backward = forward, backward
        self._reverse.defvjp(forward, backward)

    def __call__(self, *arguments: Any) -> Any:
        mode = _MODES.get()
        if mode == "forward":
            return self.function(*arguments)
        if mode == "reverse":
            return self._reverse(*arguments)
        static, operands = arguments[: self.static], arguments[self.static :]
        return _call(self, static, *varying_alike(operands))


def by_hand(static: int) -> Callable[[Callable[..., Any]], ByHand]:
    """Makes a :class:`ByHand` of a function."""
    return lambda function: ByHand(function, static)


def varying_alike(tree: Any) -> Any:
    """The arrays, inside ``jax.shard_map`` all varying over the mesh axes over which any of them does.

    The cotangent of one that did not is then summed over those axes, by JAX's own rule.
    """
    axes = [_varying(leaf) for leaf in jax.tree.leaves(tree)]
    every = frozenset[Any]().union(*axes)
    missing = lambda leaf: tuple(every - _varying(leaf))  # noqa: E731
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, missing(leaf), to="varying") if missing(leaf) else leaf, tree)


def _varying(leaf: Any) -> frozenset[Any]:
    return jax.typeof(leaf).manual_axis_type.varying


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _call(rule: ByHand, static: tuple[Any, ...], *operands: Any) -> Any:
    return jax.tree.map(_batch_first.bind, rule.function(*static, *operands))


@functools.partial(_call.defjvp, symbolic_zeros=True)
def _call_jvp(rule: ByHand, static: tuple[Any, ...], operands: Any, tangents: Any) -> Any:
    trees = _Trees()
    made, saved = _forward(rule, static, trees, *operands)
    dots = jax.tree.leaves(tangents)
    moved = tuple(place for place, dot in enumerate(dots) if not isinstance(dot, SymbolicZero) and _is_float(dot))
    primals, tree = jax.tree.flatten(operands)

    def run(primals: list[Any], dots: list[Any]) -> list[Any]:
        """The outputs' tangents, by the forward mode of the function."""

        def of_moved(*given: Any) -> Any:
            every = list(primals)
            for place, leaf in zip(moved, given, strict=True):
                every[place] = leaf
            return rule.function(*static, *jax.tree.unflatten(tree, every))

        with only("forward"):
            return jax.tree.leaves(jax.jvp(of_moved, [primals[place] for place in moved], dots)[1])

    def pull(saved: list[Any], cotangents: list[Any]) -> list[Any]:
        """The operands' cotangents, by the backward pass."""
        given = jax.tree.unflatten(trees.saved, saved), jax.tree.unflatten(trees.made, cotangents)
        every = _one_each(rule.backward(*static, *given), operands_like)
        return [jnp.zeros_like(dots_like[at]) if every[at] is None else every[at] for at in moved]

    operands_like = jax.tree.unflatten(tree, range(len(primals)))
    dots_like = [jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in primals]
    parts = len(saved), len(primals), len(made)
    given = [*saved, *primals, *made, *(dots[place] for place in moved)]
    of_made = _tangents.bind(*given, run=run, pull=pull, parts=parts)
    return jax.tree.unflatten(trees.made, made), jax.tree.unflatten(trees.made, of_made)


class _Trees:
    """How the outputs, and what is saved for the backward pass, are built."""

    made: Any
    saved: Any


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _forward(rule: ByHand, static: tuple[Any, ...], trees: _Trees, *operands: Any) -> tuple[list[Any], list[Any]]:
    """The leaves of the outputs, and of what is saved for the backward pass; how they were built, in ``trees``.

    A call of its own, for JAX runs the rule above as one in which tangents are unknown: of the loops in it, it would
    make others, and this call it leaves alone.
    """
    outputs, residuals = rule.forward(*static, *operands)
    made, trees.made = jax.tree.flatten(outputs)
    saved, trees.saved = jax.tree.flatten(residuals)
    return jax.tree.map(_batch_first.bind, (made, saved))


@_forward.defjvp
def _forward_jvp(rule: ByHand, static: tuple[Any, ...], trees: _Trees, operands: Any, tangents: Any) -> Any:
    return jax.jvp(functools.partial(_forward.fun, rule, static, trees), operands, tangents)


def _one_each(cotangents: Any, operands: Any) -> list[Any]:
    """One entry for each leaf of the operands; None in the place of an operand, or of a part of it, has none."""
    each = lambda given, part: [given] * len(jax.tree.leaves(part)) if given is None else [given]  # noqa: E731
    lists = jax.tree.map(each, tuple(cotangents), operands, is_leaf=lambda leaf: leaf is None)
    return [*itertools.chain(*jax.tree.leaves(lists, is_leaf=lambda part: isinstance(part, list)))]


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


# The linear operation. Its arguments are what was saved, the operands, the outputs, which only tell it the types of its
# results, and the tangents.
_tangents = Primitive("fused_tangents")
_tangents.multiple_results = True


def _split(arguments: Any, parts: tuple[int, ...]) -> list[list[Any]]:
    ends = [sum(parts[: at + 1]) for at in range(len(parts))]
    return [list(arguments[start:end]) for start, end in zip([0, *ends], [*ends, len(arguments)], strict=True)]


def _run(*arguments: Any, run: Callable, pull: Callable, parts: tuple[int, ...]) -> list[Any]:
    del pull
    _, primals, _, dots = _split(arguments, parts)
    return run(primals, dots)


def _types(*arguments: Any, run: Callable, pull: Callable, parts: tuple[int, ...]) -> list[Any]:
    del run, pull
    return _split(arguments, parts)[2]


def _transpose(cotangents: Any, *arguments: Any, run: Callable, pull: Callable, parts: tuple[int, ...]) -> list[Any]:
    del run
    saved, _, _, dots = _split(arguments, parts)
    found = pull(saved, [ad.instantiate_zeros(cotangent) for cotangent in cotangents])
    wanted = [at if ad.is_undefined_primal(dot) else None for dot, at in zip(dots, found, strict=True)]
    return [None] * sum(parts) + wanted


def _jvp(arguments: Any, tangents: Any, *, run: Callable, pull: Callable, parts: tuple[int, ...]) -> Any:
    """Forward mode of forward mode: that of :func:`_run`, in which what was saved and the outputs do not occur."""
    again = functools.partial(_tangents.bind, run=run, pull=pull, parts=parts)
    results = again(*arguments)
    *fixed, dots = _split(arguments, parts)
    *_, of_primals, _, of_dots = _split(tangents, parts)
    of_dots = [ad.instantiate_zeros(dot) for dot in of_dots]
    if all(isinstance(dot, ad.Zero) for dot in of_primals):
        return results, again(*itertools.chain(*fixed), *of_dots)
    places = [at for at, dot in enumerate(of_primals) if not isinstance(dot, ad.Zero) and _is_float(dot)]

    def of_moved(moved: list[Any], dots: list[Any]) -> list[Any]:
        primals = list(fixed[1])
        for place, leaf in zip(places, moved, strict=True):
            primals[place] = leaf
        return run(primals, dots)

    primals = [fixed[1][place] for place in places], dots
    return results, jax.jvp(of_moved, primals, ([of_primals[place] for place in places], of_dots))[1]


def _batch(arguments: Any, axes: Any, *, run: Callable, pull: Callable, parts: tuple[int, ...]) -> Any:
    """The same operation with one more axis, over which what was saved, and the operands, may be the same."""
    mapped = [axis is not None for axis in axes]
    size = next(a.shape[axis] for a, axis, m in zip(arguments, axes, mapped, strict=True) if m)
    # Cotangents have the new axis, whether their tangents had it or not: JAX then sums what should not.
    always = sum(parts[:2])

    def placed(at: int, leaf: Any) -> Any:
        if mapped[at]:
            return jnp.moveaxis(leaf, axes[at], 0)
        return leaf if at < always else jnp.broadcast_to(leaf, (size, *jnp.shape(leaf)))

    arguments = [placed(at, leaf) for at, leaf in enumerate(arguments)]
    in_axes = [0 if is_mapped else None for is_mapped in mapped]
    of_saved, of_primals, _, of_dots = _split(in_axes, parts)
    of_dots, of_made = [0] * len(of_dots), [0] * parts[2]
    options = {"axis_size": size}
    runs = jax.vmap(run, (of_primals, of_dots), **options)
    pulls = jax.vmap(pull, (of_saved, of_made), **options)
    results = _tangents.bind(*arguments, run=runs, pull=pulls, parts=parts)
    return results, [0] * len(results)


# The arrays as they are, with what ``vmap`` adds as their first axis: JAX takes for granted that a ``custom_jvp`` and
# its rule leave it in the same place. It compiles to nothing.
_batch_first = Primitive("batch_first")
_batch_first.def_impl(lambda array: array)
_batch_first.def_abstract_eval(lambda array: array)
mlir.register_lowering(_batch_first, lambda _, array: [array])
ad.deflinear2(_batch_first, lambda cotangent, _: [cotangent])
batching.primitive_batchers[_batch_first] = lambda arrays, axes: (
    _batch_first.bind(jnp.moveaxis(arrays[0], axes[0], 0)),
    0,
)

_tangents.def_impl(_run)
_tangents.def_abstract_eval(_types)
mlir.register_lowering(_tangents, mlir.lower_fun(_run, multiple_results=True))
ad.primitive_transposes[_tangents] = _transpose
ad.primitive_jvps[_tangents] = _jvp
batching.primitive_batchers[_tangents] = _batch

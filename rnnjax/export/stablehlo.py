"""A model as StableHLO, by ``jax.export``: one file for CPUs, NVIDIA GPUs and TPUs.

With sizes that are fixed it holds, for each platform, what the model runs there. With an axis of any size all platforms
run the scan: the other implementations divide a sequence by its length while they are traced.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax
from jax import export, lax

from rnnjax.data.spec import nested
from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.export.arguments import Like, plain
from rnnjax.export.streaming import Stream
from rnnjax.layers.implementations import implementation
from rnnjax.layers.target import tracing_for
from rnnjax.runs.predict import Predictor

PLATFORMS = ("cpu", "cuda", "tpu")

PORTABLE = ("associative", "chunked", "fused", "scan")
"""Implementations that are made of StableHLO's operations: cuDNN's is a call into a library."""


_TRACEBACKS = "jax_traceback_in_locations_limit"


def package() -> None:
    """Raises UsageError where the package is missing by which JAX writes and reads such files."""
    try:
        import flatbuffers  # noqa: F401  # jax.export imports it when it is used
    except ImportError:
        raise UsageError(
            "StableHLO files need the package flatbuffers: pip install flatbuffers, or rnnjax[export]"
        ) from None


def answers(predictor: Predictor, likes: Mapping[str, Like]) -> bytes:
    """A program that answers stored arrays as the predictor's model does: ``program.call(**stored)``."""
    variables = predictor.variables

    def answer(stored: Mapping[str, Any]) -> Any:
        given = predictor.preprocess.on_device(stored)
        outputs = predictor.model.apply(_weights(variables), **nested({name: given[name] for name in likes}))
        return jax.tree.map(lambda leaf: leaf.astype(plain(leaf.dtype)), outputs)

    return _exported(answer, {}, likes)


def steps(stream: Stream) -> bytes:
    """A program of one step: ``outputs, carry = program.call(carry, **stored)``."""

    def step(stored: Mapping[str, Any], carry: Mapping[str, Any]) -> Any:
        return stream.step(_weights(stream.variables), carry, stored)

    return _exported(step, stream.carry, stream.inputs)


def _weights(variables: Any) -> Any:
    # Constants that a compiler must not compute with: it would round otherwise than where they are arguments.
    return lax.optimization_barrier(variables)


def _exported(call: Callable[..., Any], carry: Mapping[str, Like], likes: Mapping[str, Like]) -> bytes:
    names = {size for like in (*carry.values(), *likes.values()) for size in like.shape if isinstance(size, str)}
    scope = export.SymbolicScope()
    sizes = {name: export.symbolic_shape(name, scope=scope)[0] for name in sorted(names)}

    def shaped(like: Like) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct([sizes.get(size, size) for size in like.shape], like.dtype)  # pyright: ignore

    def on(platform: str) -> Callable[..., Any]:
        def traced(*operands: Any) -> Any:
            with tracing_for(platform), implementation(*PORTABLE):
                return call(*operands)

        return traced

    def program(*carried: Any, **stored: Any) -> Any:
        if sizes:
            with implementation("scan"):
                return call(stored, *carried)
        return lax.platform_dependent(stored, *carried, cpu=on("cpu"), cuda=on("gpu"), tpu=on("tpu"))

    given = ({name: shaped(like) for name, like in carry.items()},) if carry else ()
    package()
    with _without_places(), _said_of(sizes):
        made = export.export(jax.jit(program), platforms=PLATFORMS)(
            *given, **{name: shaped(like) for name, like in likes.items()}
        )
    return bytes(made.serialize())


@contextlib.contextmanager
def _said_of(sizes: Collection[str]) -> Iterator[None]:
    """Raises UsageError where a model cannot be traced, which with sizes that are free is harder."""
    try:
        yield
    except RnnjaxError:
        raise
    except Exception as error:  # a model of one's own may compute in ways of which jax.export knows nothing
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if not sizes or isinstance(error, NotImplementedError):
            raise UsageError(f"jax.export cannot say a part of the model ({why})") from error
        fix = " and ".join({"batch": "--batch ROWS", "time": "--length STEPS"}[name] for name in sorted(sizes))
        raise UsageError(f"the model cannot be traced for any number of rows or steps ({why}); give {fix}") from error


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Has JAX leave out where in which source file each operation is from: those are paths of this machine."""
    before = getattr(jax.config, _TRACEBACKS)
    jax.config.update(_TRACEBACKS, 0)
    try:
        yield
    finally:
        jax.config.update(_TRACEBACKS, before)

"""A model as StableHLO, by ``jax.export``: one file for CPUs, NVIDIA GPUs and TPUs.

With sizes that are fixed it holds, for each platform, what the model runs there. With an axis of any size all platforms
run the scan: the other implementations divide a sequence by its length while they are traced.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax import export, lax

from rnnjax.data.spec import nested
from rnnjax.export.arguments import Like
from rnnjax.export.streaming import Stream
from rnnjax.layers.implementations import implementation
from rnnjax.layers.target import tracing_for
from rnnjax.runs.predict import Predictor

PLATFORMS = ("cpu", "cuda", "tpu")

PORTABLE = ("associative", "fused", "scan")
"""Implementations that are made of StableHLO's operations: cuDNN's is a call into a library."""


def answers(predictor: Predictor, likes: Mapping[str, Like]) -> bytes:
    """A program that answers stored arrays as the predictor's model does: ``program.call(**stored)``."""
    variables = predictor.variables

    def answer(stored: Mapping[str, Any]) -> Any:
        given = predictor.preprocess.on_device(stored)
        return predictor.model.apply(_weights(variables), **nested({name: given[name] for name in likes}))

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
    made = export.export(jax.jit(program), platforms=PLATFORMS)(
        *given, **{name: shaped(like) for name, like in likes.items()}
    )
    return bytes(made.serialize())

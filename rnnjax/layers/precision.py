"""The precision of float32 products on accelerators."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax


def matmul_precision(name: str) -> contextlib.AbstractContextManager[Any]:
    """What is traced in the block has products of this precision: ``jax.default_matmul_precision``.

    Args:
      name: one that JAX knows, such as ``highest``, ``tensorfloat32`` or ``bfloat16``; ``default`` leaves it to what
        is in force outside.
    """
    return contextlib.nullcontext() if name == "default" else jax.default_matmul_precision(name)


def at_precision(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, traced within :func:`matmul_precision`.

    A module that enters the block by itself does so in its forward pass; what a ``custom_vjp`` multiplies in the
    backward pass is traced later. Around the whole step, both are in the block.
    """
    if name == "default":
        return function

    @functools.wraps(function)
    def traced(*args: Any, **keywords: Any) -> Any:
        with matmul_precision(name):
            return function(*args, **keywords)

    return traced

"""Whether a call trains: what the call says, or else the layer."""

from typing import Any

from jax.core import Tracer

from rnnjax.errors import UsageError


def training(layer: Any, given: bool | None) -> bool | None:
    """``train`` of a call, or where that is None the attribute of the layer; None where neither says.

    Raises:
      UsageError: if it is traced: what a layer draws in training would be part of a program that may not train.
    """
    chosen = layer.train if given is None else given
    if isinstance(chosen, Tracer):
        name = type(layer).__name__
        raise UsageError(
            f"{name}: train is traced, as by nn.remat, nn.jit or jax.jit; give it to the layer, "
            f"{name}(..., train=True), or to jax.jit with static_argnames='train'"
        )
    return chosen

"""Switches: that they are True or False, and whether a call trains, which the call says, or else the layer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from rnnjax.errors import UsageError


def training(layer: Any, given: bool | None) -> bool | None:
    """``train`` of a call, or where that is None the attribute of the layer; None where neither says.

    Raises:
      UsageError: if it is neither True nor False, or traced: what a layer draws in training would be part of a
        program that may not train.
    """
    chosen = layer.train if given is None else given
    if isinstance(chosen, Tracer):
        name = type(layer).__name__
        raise UsageError(
            f"{name}: train is traced, as by nn.remat, nn.jit or jax.jit; give it to the layer, "
            f"{name}(..., train=True), or to jax.jit with static_argnames='train'"
        )
    return chosen if chosen is None else switch(layer, "train", chosen)


def switch(layer: Any, name: str, given: Any) -> bool:
    """What was given for an option that is True or False.

    Raises:
      UsageError: if it is something else, such as ``"no"``, which Python takes for true, or if it is traced.
    """
    if isinstance(given, Tracer):
        raise UsageError(f"{type(layer).__name__}: {name} is traced; give it to jax.jit with static_argnames={name!r}")
    single = isinstance(given, bool | np.bool_ | np.ndarray | jax.Array) and jnp.shape(given) == ()
    if not single or jnp.result_type(given) != jnp.bool_:
        raise UsageError(f"{type(layer).__name__}: {name} must be True or False, got {given!r}")
    return bool(given)


def switches(layer: Any, *names: str) -> None:
    """That these attributes of a layer are True or False, and that its ``train`` is one of them or None.

    Raises:
      UsageError: if one is something else.
    """
    for name in names:
        setattr(layer, name, switch(layer, name, getattr(layer, name)))
    if not (layer.train is None or isinstance(layer.train, Tracer)):  # a call says what to do where it is traced
        layer.train = switch(layer, "train", layer.train)

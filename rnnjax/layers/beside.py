"""Layers of a stack that are no recurrences: what they take, and what padding and packed rows mean for them.

Axes: T time, D features.
"""

import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.gated import GatedLinear

Array = jax.Array

STEPWISE = (nn.Dense, nn.DenseGeneral, nn.Einsum, nn.LayerNorm, nn.RMSNorm, nn.Dropout, nn.BatchNorm, GatedLinear)
"""Layers that make a step of that step alone (a batch norm's statistics apart)."""


def is_recurrent(layer: Any) -> bool:
    """Whether it is called as :class:`rnnjax.RNN` is, and returns a carry; what takes any option is taken for one.

    What is called so and returns its outputs alone says ``returns_carry = False``, as :class:`rnnjax.Outputs` does;
    Flax' own are called in another way.
    """
    if isinstance(layer, nn.RNN | nn.Bidirectional) or not getattr(layer, "returns_carry", True):
        return False
    return bool({"initial_carry", "**"} & _options(layer))


def recurrence(where: str, layer: Any) -> Any:
    """The layer, if it is a recurrence that returns its carry.

    Args:
      where: what it is given to, such as ``"Carried"``.
      layer: what was given.

    Raises:
      UsageError: if it is another layer, a cell, or one of Flax' recurrences.
    """
    if not is_recurrent(layer):
        got = layer.__name__ if isinstance(layer, type) else type(layer).__name__
        raise UsageError(
            f"{where}: give a layer that returns (carry, outputs), as in {where}(RNN(LSTMCell(64))), got {got}"
        )
    return layer


def checked(layer: Any, depth: int) -> Any:
    """The layer, if a stack can hold it.

    Raises:
      UsageError: if it is a cell, a class, a recurrence that is called in another way, or one that returns no carry.
    """
    if isinstance(layer, nn.RNN | nn.Bidirectional):
        kind = type(layer).__name__
        raise UsageError(
            f"StackedRNN: layer {depth} is flax.linen.{kind}, which is called in another way; rnnjax.{kind} takes its "
            "cells"
        )
    if isinstance(layer, type) or not callable(layer):
        raise UsageError(f"StackedRNN: layer {depth} must be a layer, such as RNN(LSTMCell(64)), got {layer!r}")
    if all(hasattr(type(layer), name) for name in ("initialize_carry", "num_feature_axes")):
        raise UsageError(f"StackedRNN: layer {depth} is a cell; RNN({type(layer).__name__}(...)) makes a layer of it")
    if not getattr(layer, "returns_carry", True):
        kind = type(layer).__name__
        raise UsageError(
            f"StackedRNN: layer {depth} is {kind}, whose carry the stack could not pass on; give the layer in it, and "
            f"{kind}(StackedRNN([...])) if the outputs alone are wanted"
        )
    return layer


def applied(layer: Any, depth: int, inputs: Array, mask: Array | None, options: dict[str, Any]) -> Array:
    """The outputs ``[..., T, D]`` of a layer that is no recurrence, zero at masked steps.

    It is handed those of ``lengths``, ``mask``, ``resets`` and ``train`` that its ``__call__`` takes. One of Flax is
    handed what it calls ``deterministic`` or ``use_running_average``, and a normalisation over steps counts real ones.

    Args:
      layer: a module.
      depth: its place in the stack.
      inputs: ``[..., T, D]``, zero at masked steps.
      mask: ``[..., T]`` or None.
      options: what the stack was called with.

    Raises:
      UsageError: if there are resets and it may read over them, if there is padding, and it changes T, or if what it
        makes is no array.
    """
    kind = type(layer).__name__
    takes = _options(layer)
    if options["resets"] is not None and "resets" not in takes and not is_stepwise(layer):
        raise UsageError(
            f"StackedRNN: layer {depth}, {kind}, may read over the resets, since it takes none; pad the sequences in "
            "the place of packing them, or let its __call__ take resets="
        )
    # What the constructor has said already is the constructor's: Flax takes no second answer.
    asked = ("deterministic", "use_running_average")
    known: dict[str, Any] = {name: not options["train"] for name in asked if getattr(layer, name, None) is None}
    if not type(layer).__module__.startswith("flax."):
        known |= options | {"mask": mask, "train": bool(options["train"])}
    elif mask is not None and isinstance(layer, nn.BatchNorm):
        known["mask"] = (mask | ~mask.any())[..., None]  # a mean over no step would be NaN
    elif mask is not None and isinstance(layer, nn.GroupNorm | nn.InstanceNorm):
        known["mask"] = (mask | ~mask.any(-1, keepdims=True))[..., None]
    outputs = layer(inputs, **{name: value for name, value in known.items() if name in takes})
    if isinstance(outputs, tuple | list) or not hasattr(outputs, "shape"):
        raise UsageError(
            f"StackedRNN: layer {depth}, {kind}, returns a {type(outputs).__name__} and takes no initial_carry: it is "
            "no recurrence, and must make [..., T, D]; what keeps its carry, as Carried, goes around the stack"
        )
    if mask is None:
        return outputs
    if outputs.shape[:-1] != inputs.shape[:-1]:
        raise UsageError(
            f"StackedRNN: layer {depth}, {kind}, makes {list(outputs.shape)} of {list(inputs.shape)}, so that lengths "
            "and masks no longer fit; keep T as it is (padding='SAME', no strides)"
        )
    return jnp.where(mask[..., None], outputs, jnp.zeros((), outputs.dtype))


def is_stepwise(layer: Any) -> bool:
    """Whether it is known to make a step of that step alone."""
    if isinstance(layer, nn.Sequential):
        return all(map(is_stepwise, layer.layers))
    return isinstance(layer, STEPWISE)


def width(layer: Any, shape: tuple[int, ...]) -> int:
    """How many features the layer makes of a step ``[..., D]``."""
    try:
        made = getattr(layer, "features", None)
    except UsageError:  # a cell of somebody else's that does not say
        made = None
    if isinstance(made, int):
        return made
    if is_stepwise(layer):
        return shape[-1]
    steps = jnp.zeros((*shape[:-1], 1, shape[-1]))
    alone = layer.copy(parent=None, name=None)
    made = jax.eval_shape(lambda: alone.init_with_output(jax.random.key(0), steps)[0])
    return (made[1] if is_recurrent(layer) else made).shape[-1]


def _options(layer: Any) -> set[str]:
    call = type(layer).__call__ if isinstance(layer, nn.Module) else layer
    try:
        parameters = inspect.signature(call).parameters.values()
        return {"**" if each.kind is each.VAR_KEYWORD else each.name for each in parameters}
    except (TypeError, ValueError):  # some built-in functions have no signature
        return set()

"""What layers have in common that are made of others: parts of their own, and what a call hands to each part.

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import Scope

from rnnjax.layers.carries import one_for_each
from rnnjax.layers.cells import Carry
from rnnjax.layers.masks import as_array
from rnnjax.layers.training import switch, training

Array = jax.Array


def own(owner: nn.Module, part: Any) -> Any:
    """A copy of a cell or layer that is given to a layer: under the owner's name, and with weights of its own.

    Linen itself takes a module as it is, which shares the weights of one that is given twice, and leaves one that was
    made inside ``@nn.compact`` under a name beside its owner's.
    """
    # To apply a module, and inside a transform, Linen makes it anew with the parts it had, which may be bound: without
    # a parent, or with a Scope. One made with `parent=None` by hand gets its copies when a module takes it in.
    if owner.parent is None or isinstance(owner.parent, Scope) or not isinstance(part, nn.Module):
        return part
    return part.copy(parent=None, name=None)


class Handed(NamedTuple):
    """A call of a layer of several, checked.

    Attributes:
      inputs: ``[..., T, D]``.
      initial, reset: a first carry and one after resets for each part, None where the part has to make its own.
      marks: ``lengths``, ``mask``, ``resets`` and ``train``, as they were given: cuDNN can use lengths and no mask.
      options: these for a recurrence, with ``return_carries`` only where it is asked for: a layer of somebody else's
        need not know it.
    """

    inputs: Array
    initial: Sequence[Carry]
    reset: Sequence[Carry]
    marks: dict[str, Any]
    options: dict[str, Any]


def handed(
    layer: Any,
    count: int,
    inputs: Any,
    initial_carry: Any,
    reset_carry: Any,
    train: bool | None,
    return_carries: bool,
    **marks: Any,
) -> Handed:
    """What a layer of ``count`` parts hands to them.

    Raises:
      UsageError: if inputs are no array, ``train`` is traced, or there are more or fewer carries than parts.
    """
    name = type(layer).__name__
    initial, reset = (
        one_for_each(name, given, count, which) for which, given in (("initial", initial_carry), ("reset", reset_carry))
    )
    marks["train"] = training(layer, train)
    options = marks | ({"return_carries": True} if switch(layer, "return_carries", return_carries) else {})
    return Handed(as_array(inputs), initial, reset, marks, options)


def one_step(layer: Any, carry: Carry, inputs: Array, mask: Any, resets: Any, reset_carry: Carry, train: bool | None):
    """The layer over a sequence of one step: ``inputs [..., D]`` give ``(carry, output [..., H])``."""
    marks = {"mask": mask, "resets": resets}
    marks = {name: None if given is None else jnp.asarray(given)[..., None] for name, given in marks.items()}
    inputs = as_array(inputs)[..., None, :]
    carry, outputs = layer(inputs, initial_carry=carry, reset_carry=reset_carry, train=train, **marks)
    return carry, outputs[..., 0, :]

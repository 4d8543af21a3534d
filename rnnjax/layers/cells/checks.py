"""What a cell is made of, and what it is called with, or an error that says what it should be."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError


def check_attributes(cell: Any) -> None:
    """That a cell's width, functions and dtypes are that.

    Raises:
      UsageError: if one is not.
    """
    kind, features = type(cell).__name__, cell.features
    if not isinstance(features, int | np.integer) or isinstance(features, bool):
        raise UsageError(f"{kind}: features must be an integer, got {features!r}")
    if features <= 0:
        raise UsageError(f"{kind}: features must be positive, got {features}")
    for field in dataclasses.fields(cell):
        given = getattr(cell, field.name)
        if field.name == "activation" and isinstance(given, str):
            raise UsageError(f"{kind}: activation must be a function, such as nn.relu, got {given!r}")
        if field.name in ("input_init", "recurrent_init", "bias_init") and not callable(given):
            raise UsageError(
                f"{kind}: {field.name} must be an initialiser, such as nn.initializers.normal(), got {given!r}; the "
                f"width D is read off the inputs, so that a cell is made by {kind}(features)"
            )
    for name in ("dtype", "param_dtype", "carry_dtype"):
        _check_dtype(kind, name, getattr(cell, name))


def _check_dtype(kind: str, name: str, given: Any) -> None:
    try:
        fits = given is None or jnp.issubdtype(jnp.dtype(given), jnp.inexact)
    except TypeError:  # such as torch.float32
        fits = False
    if not fits:
        raise UsageError(f"{kind}: {name} must be a floating dtype, such as jnp.bfloat16, got {given!r}")


def called_with(cell: Any, carry: Any, inputs: Any) -> Any:
    """The carry of a cell's call, a list as the tuple that it means.

    Raises:
      UsageError: if there is none, it lacks parts, or it stands in the place of the inputs.
    """
    kind, parts = type(cell).__name__, cell.carry_parts
    if not hasattr(inputs, "shape"):
        raise UsageError(
            f"{kind} is called with the carry first, cell(carry, inputs [..., D]), got inputs of type "
            f"{type(inputs).__name__}"
        )
    if carry is None:
        raise UsageError(
            f"{kind}: a cell needs a carry, such as cell.initialize_carry(key, inputs.shape); the step of a layer, "
            "RNN(cell), takes None too"
        )
    if len(parts) == 1:
        return carry
    if not isinstance(carry, tuple | list) or len(carry) != len(parts):  # an array of two rows is no pair
        raise UsageError(f"{kind}: the carry must be ({', '.join(parts)}), got {type(carry).__name__}")
    return tuple(carry) if isinstance(carry, list) else carry

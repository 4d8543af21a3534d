"""First carries, as a user hands them over: other containers, one row for all, one carry a layer; and learned ones.

Axes: B batch (any number of axes), H hidden features.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.cells import Carry, Initializer, RecurrentCell

Array = jax.Array

_MEANS = {"cell": "c", "cell_state": "c", "hidden": "h", "hidden_state": "h"}
"""Names of other libraries for the parts of a carry."""


class LearnedCarry(nn.Module):
    """A first carry whose arrays are parameters, the same for all rows: ``RNN(cell, first_carry=LearnedCarry())``.

    (Forcada and Carrasco 1995, "Learning the initial state of a second-order recurrent neural network".)
    Sequences start from it, and so do resets. An ``initial_carry`` of the call takes its place at the first step, a
    ``reset_carry`` at resets. Parameters: one for each part of the carry, by its name, such as ``c [H]`` and ``h [H]``;
    of a complex one real and imaginary part, ``[2, H]``.

    Attributes:
      init: initialiser of the parameters.
      param_dtype: dtype of the parameters.
    """

    init: Initializer = nn.initializers.zeros
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry: Carry, names: Sequence[str]) -> Carry:
        """The learned carry in the place of the cell's own.

        Args:
          carry: the cell's own, with leaves ``[..., H]``.
          names: of its leaves.

        Returns:
          What has its structure, shapes and dtypes.
        """
        leaves, tree = jax.tree.flatten(carry)
        return jax.tree.unflatten(tree, [self._leaf(*each) for each in zip(leaves, names, strict=True)])

    def _leaf(self, own: Array, name: str) -> Array:
        is_complex = jnp.issubdtype(own.dtype, jnp.complexfloating)
        shape = (2, own.shape[-1]) if is_complex else own.shape[-1:]
        learned = self.param(name, self.init, shape, self.param_dtype)
        learned = jax.lax.complex(learned[0], learned[1]) if is_complex else learned
        return jnp.broadcast_to(learned.astype(own.dtype), own.shape)


def part_names(cell: RecurrentCell, carry: Carry) -> list[str]:
    """A name for each array of the carry: what the cell calls it, else its place."""
    count = len(jax.tree.leaves(carry))
    return list(cell.carry_parts) if len(cell.carry_parts) == count else [f"carry_{at}" for at in range(count)]


def fitted(cell: RecurrentCell, own: Carry, given: Any, which: str) -> Carry:
    """The given carry in the form of the cell's own.

    A list, a dictionary of places (as of ``flax.serialization.to_state_dict``) or of names, and a named tuple are
    taken for the tuple that they mean; one row stands for all.

    Args:
      cell: whose carry it is.
      own: the carry that the cell itself would start from.
      given: what the user gave.
      which: ``"initial"`` or ``"reset"``, for errors.

    Raises:
      UsageError: if it is none of that, or of another dtype.
    """
    given = _as_tuple(cell, own, given, which)
    parts = zip(jax.tree.leaves(own), jax.tree.leaves(given), strict=True)
    return jax.tree.unflatten(jax.tree.structure(own), [_leaf(cell, *part, which) for part in parts])


def _as_tuple(cell: RecurrentCell, own: Carry, given: Any, which: str) -> Any:
    """The given carry with the structure of the cell's own, by names where both have them."""
    wanted = jax.tree.structure(own)
    if jax.tree.structure(given) == wanted:
        return given
    names, mapping = part_names(cell, own), None
    if isinstance(given, Mapping):
        mapping = {_MEANS.get(str(name), str(name)): part for name, part in given.items()}
        if set(mapping) == set(map(str, range(len(names)))):
            mapping = dict(zip(names, (mapping[str(at)] for at in range(len(names))), strict=True))
    elif hasattr(given, "_fields"):
        mapping = {_MEANS.get(name, name): part for name, part in zip(given._fields, given, strict=True)}
    if isinstance(own, tuple) and mapping is not None and set(mapping) == set(names):
        given = tuple(mapping[name] for name in names)
    elif isinstance(own, tuple) and isinstance(given, Sequence) and mapping is None:
        given = tuple(given)
    if jax.tree.structure(given) != wanted:
        shapes = ", ".join(f"{name} {list(leaf.shape)}" for name, leaf in zip(names, jax.tree.leaves(own), strict=True))
        form = f"({shapes})" if isinstance(own, tuple) else shapes
        raise UsageError(f"the {which} carry of {cell._kind} must be built as {form}, got {_described(given)}")
    return given


def _leaf(cell: RecurrentCell, own: Array, given: Any, which: str) -> Array:
    if not isinstance(given, jax.Array | np.ndarray | np.generic | int | float | complex):
        name = f"{type(given).__module__}.{type(given).__name__}"
        raise UsageError(
            f"the {which} carry of {cell._kind} must be of JAX or NumPy arrays, got a {name}; "
            "rnnjax.convert.carry_from_torch converts PyTorch's, carry_from_keras Keras'"
        )
    shape = jnp.shape(given)
    fits = shape[-1:] == own.shape[-1:] and len(shape) <= own.ndim
    fits = fits and all(size in (1, full) for size, full in zip(shape[::-1], own.shape[::-1], strict=False))
    if not fits or jnp.result_type(given) != own.dtype:
        raise UsageError(
            f"the {which} carry of {cell._kind} needs {own.dtype} {own.shape}, got {jnp.result_type(given)} {shape}"
            + "; rnnjax.convert.carry_from_torch converts PyTorch's [layers, B, H]" * (len(shape) > own.ndim)
        )
    given = jnp.asarray(given)
    return given if shape == own.shape else jnp.broadcast_to(given, own.shape)


def _described(given: Any) -> str:
    if hasattr(given, "shape"):
        return f"one array {list(given.shape)}"
    if isinstance(given, Mapping):
        return f"a dictionary of {', '.join(map(str, given))}"
    if hasattr(given, "_fields"):
        return f"a named tuple of {', '.join(given._fields)}"
    return f"a {type(given).__name__} of {len(given)}" if isinstance(given, Sequence) else f"a {type(given).__name__}"


def one_for_each(name: str, given: Any, count: int, which: str) -> Sequence[Any]:
    """One initial or reset carry a part of a layer of several, None where none was given.

    Raises:
      UsageError: if there are more or fewer.
    """
    if given is None:
        return [None] * count
    if isinstance(given, Mapping) and set(given) == set(map(str, range(count))):
        given = [given[str(at)] for at in range(count)]  # as flax.serialization.to_state_dict has a tuple
    if not isinstance(given, Sequence) or len(given) != count:
        size = len(given) if isinstance(given, Sequence) else "no tuple of"
        raise UsageError(f"{name}: {count} layers or directions, but {size} {which} carries")
    return given

"""What becomes of a cell's variables in a loop over time.

Parameters are the same at all steps. So are all other variables (as those of a collection ``constants``), which a step
may read but not change, except for two kinds that the cell names:

* :attr:`RecurrentCell.carried` collections go on from step to step, in the direction of the scan;
* into :attr:`RecurrentCell.stacked` collections each step puts values of its own, ``[T, ...]`` outside the loop.

Perturbations (``self.perturb``) are ``[T, ...]`` outside as well, and each step finds its own.

Axes: T time.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.scope import DenyList
from flax.typing import Out

from rnnjax.errors import UsageError
from rnnjax.layers.cells import Carry, RecurrentCell
from rnnjax.layers.rules import Rules, Steps

Array = jax.Array
PERTURBATIONS = "perturbations"


def lifted(cell: RecurrentCell) -> dict[str, Any]:
    """The options of ``nn.scan`` that say so."""
    carried = tuple(name for name in cell.carried if cell.is_mutable_collection(name))  # the others do not change
    return {
        # What is stacked goes out alone: what `project`, or an earlier call, has sown need not have a time axis.
        "variable_axes": {**dict.fromkeys(cell.stacked, Out(0)), PERTURBATIONS: 0},
        "variable_carry": carried,
        "variable_broadcast": DenyList((*cell.stacked, PERTURBATIONS, *carried)),
        "split_rngs": {"params": False, DenyList("params"): True},
    }


def of_steps(cell: RecurrentCell) -> dict[str, Any]:
    """The variables that a step finds, except for parameters and stacked ones."""
    others = ("params", PERTURBATIONS, *cell.stacked)
    return jax.tree.map(lambda leaf: leaf, {name: tree for name, tree in cell.variables.items() if name not in others})


def settle(cell: RecurrentCell, before: dict[str, Any], real: Array | None) -> None:
    """After a step: what it changed may be changed, and is as it was :func:`of_steps` where no row was real.

    Raises:
      UsageError: if the step has changed a variable that the cell does not carry.
    """
    after = of_steps(cell)
    for collection, old in before.items():
        new = after[collection]
        if all(a is b for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=False)):
            continue
        if collection not in cell.carried:
            raise UsageError(
                f"RNN: the step of {cell._kind} changes variables of the collection {collection!r}, which are "
                f"the same at all steps; name it in the cell's `carried`, or in `stacked` if the step sows them"
            )
        if real is not None:
            some = real.any()
            kept = jax.tree.map(lambda new, old, some=some: jnp.where(some, new, old), new, old)
            _put(cell, {collection: kept})


@contextlib.contextmanager
def as_initialised(cell: RecurrentCell, step: Callable, carry: Carry, steps: Steps, rules: Rules) -> Iterator[None]:
    """Around the loop at initialisation: carried variables are made by one step before, and are so again after it.

    A loop cannot make what it carries. And as ``init`` of any module leaves what one call makes of its variables, so
    here it leaves what one step does, however long the sequence.
    """
    if not (cell.carried and cell.is_initializing()):
        yield
        return
    at = -1 if rules.reverse else 0
    first = jax.tree.map(lambda leaf: leaf[at] if leaf.shape[0] else jnp.zeros(leaf.shape[1:], leaf.dtype), steps)
    # This step leaves nothing in collections that have a time axis outside the loop.
    apart = {"trans_in_fn": lambda _: {}, "trans_out_fn": lambda _: {}, "mutable": True}
    nn.map_variables(step, [*cell.stacked, PERTURBATIONS], **apart)(cell, carry, first)
    made = {name: tree for name, tree in of_steps(cell).items() if name in cell.carried}
    yield
    _put(cell, made)


def in_chunks(scan: Callable, cell: RecurrentCell, total: int, length: int) -> Callable:
    """The loop over chunks of ``length`` steps, with stacked variables ``[T, ...]`` outside and in chunks inside."""

    def split(leaf: Array) -> Array:
        if not leaf.ndim or leaf.shape[0] != total:
            return leaf
        padded = jnp.pad(leaf, [(0, -total % length)] + [(0, 0)] * (leaf.ndim - 1))
        return padded.reshape(-1, length, *leaf.shape[1:])

    def join(leaf: Array) -> Array:
        # What `project` sows once a chunk, and is no sequence, stays one entry a chunk.
        return leaf.reshape(-1, *leaf.shape[2:])[:total] if leaf.shape[1:2] == (length,) else leaf

    each = lambda change: lambda tree: jax.tree.map(change, tree)  # noqa: E731
    sown = {"trans_in_fn": lambda _: {}, "trans_out_fn": each(join), "mutable": True}
    moved = {"trans_in_fn": each(split), "trans_out_fn": each(join), "mutable": True}
    return nn.map_variables(nn.map_variables(scan, list(cell.stacked), **sown), PERTURBATIONS, **moved)


@contextlib.contextmanager
def appending(cell: RecurrentCell) -> Iterator[None]:
    """Around a loop: what it sows under a name comes after what was sown there before, as ``sow`` itself has it."""
    before = {name: _copied(cell.variables.get(name, {})) for name in cell.stacked}
    yield
    _put(cell, {name: _appended(old, cell.variables[name]) for name, old in before.items() if old})


def _copied(tree: Any) -> Any:
    return {name: _copied(part) for name, part in tree.items()} if isinstance(tree, Mapping) else tree


def _appended(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping):
        return {name: _appended(part, new[name]) for name, part in old.items()}
    return old + new if isinstance(old, tuple) and old is not new else new


def _put(cell: RecurrentCell, values: dict[str, Any]) -> None:
    for collection, tree in values.items():
        for name, value in tree.items():
            cell.put_variable(collection, name, value)

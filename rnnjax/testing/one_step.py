"""One step of a cell by shapes: what it is made of must not depend on how often, or on how much, it is called."""

from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.layers.cells import RecurrentCell
from rnnjax.layers.recurrence import RNN
from rnnjax.testing.compare import explained, require, require_same, shown

_STEP = (
    "step(carry, projected, noise) takes projected [..., gates * features] and a carry as initialize_carry makes it, "
    "and returns (carry, output)"
)
RAISED = (TypeError, ValueError, KeyError, AttributeError, NotImplementedError, flax.errors.FlaxError)


def check_one_step(cell: RecurrentCell, features_in: int, rows: int, seed: int) -> None:
    """Raises AssertionError unless a step keeps trees, shapes and kinds of its carry, and of its parameters."""
    name, said = type(cell).__name__, shown({"rows": rows, "features_in": features_in, "seed": seed})
    inputs = jnp.asarray(np.random.default_rng(seed).normal(size=(rows, features_in)), jnp.float32)
    with explained(f"{name} cannot make one step {said}; {_STEP}", *RAISED):
        carry = cell.initialize_carry(None, inputs.shape, cell.compute_dtype(inputs))
        _check_axes(cell, carry, rows, features_in, said)
        key = jax.random.key(seed)
        new, output, _ = jax.eval_shape(lambda: cell.init_with_output(key, carry, inputs, method=raw_step)[0])
    _check_carry(name, carry, new, said)
    shape = (rows, cell.output_features)
    require(
        getattr(output, "shape", None) == shape,
        f"{name}: the output of a step is {_like(output)} and must be {list(shape)}, as output_features says {said}",
    )
    _check_parameters(cell, carry, inputs, said)


def check_readout(cell: RecurrentCell, variables: Any, carry: Any, inputs: jax.Array, said: str) -> None:
    """Raises AssertionError unless ``readout`` gives the output of a step, which zoneout reads by it."""
    name = type(cell).__name__
    (new, output, projected), _ = cell.apply(variables, carry, inputs, method=raw_step, mutable=True)
    with explained(f"{name}.readout fails {said}", *RAISED):
        read, _ = cell.apply(variables, new, projected, method="readout", mutable=True)
    sentence = (
        f"{name}.readout(carry, projected) is not the output that the step gives with that carry, and zoneout reads "
        f"outputs by it {said}"
    )
    require_same(read, output, 1e-5, sentence)


def raw_step(cell: RecurrentCell, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array, Any]:
    """A step whose carry comes out as the cell makes it: ``RNN`` would give it the dtypes that it had."""
    projected = cell.project(inputs)
    return *cell.step(carry, projected), projected


def _check_axes(cell: RecurrentCell, carry: Any, rows: int, features_in: int, said: str) -> None:
    wide = jax.eval_shape(lambda: cell.initialize_carry(None, (2, rows, features_in)))
    for leaf, more in zip(jax.tree.leaves(carry), jax.tree.leaves(wide), strict=True):
        require(
            leaf.shape[:1] == (rows,) and more.shape == (2, *leaf.shape),
            f"{type(cell).__name__}.initialize_carry must give arrays with the inputs' leading axes: of inputs "
            f"{[rows, features_in]} it gives {list(leaf.shape)}, of {[2, rows, features_in]} {list(more.shape)} {said}",
        )


def _check_carry(name: str, carry: Any, new: Any, said: str) -> None:
    was, became = jax.tree.structure(carry), jax.tree.structure(new)
    require(was == became, f"{name}: a step makes a carry {became} of one that is {was} {said}")
    for old, leaf in zip(jax.tree.leaves(carry), jax.tree.leaves(new), strict=True):
        kinds = [_kind(part.dtype) for part in (old, leaf)]
        # A wider float is rounded to what it was; a complex number, or a float in place of a count, would be lost.
        require(
            old.shape == leaf.shape and kinds[0] == kinds[1],
            f"{name}: a step makes a carry of {_like(leaf)} of one of {_like(old)} {said}",
        )


def _check_parameters(cell: RecurrentCell, carry: Any, inputs: jax.Array, said: str) -> None:
    """Against those that ``apply`` would make, and those of other numbers of rows and steps."""
    key, name = jax.random.key(0), type(cell).__name__
    shapes = lambda tree: jax.tree.map(lambda leaf: f"{leaf.dtype} {list(leaf.shape)}", tree.get("params", {}))  # noqa: E731
    one = shapes(jax.eval_shape(lambda: cell.init(key, carry, inputs)))
    applied = jax.eval_shape(lambda: cell.apply({}, carry, inputs, rngs={"params": key}, mutable=True)[1])
    require(shapes(applied) == one, f"{name}: init makes the parameters {one}, and apply uses {shapes(applied)} {said}")
    for rows, steps in ((1, 1), (2, 5)):
        many = jnp.zeros((rows, steps, inputs.shape[-1]))
        with explained(f"{name} cannot be initialised on {rows} rows of {steps} steps", *RAISED):
            made = shapes(jax.eval_shape(lambda many=many: RNN(cell, implementation="scan").init(key, many)))
        made = made.get("cell", {})
        require(
            made == one,
            f"{name}: its parameters depend on the numbers of rows and steps: {one} for a step, {made} for {rows} rows "
            f"of {steps} steps {said}",
        )


def _kind(dtype: Any) -> str:
    kinds = {"complex": jnp.complexfloating, "float": jnp.floating, "integer": jnp.integer}
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), str(dtype))


def _like(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__

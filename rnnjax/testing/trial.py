"""A cell, drawn inputs of it, and the programs that run it: few, since compiling is what a check of a cell takes.

All programs of a :class:`Trial` have one shape. Shorter sequences, chunks and packed ones are masks.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.cells import RecurrentCell
from rnnjax.layers.implementations import IMPLEMENTATIONS
from rnnjax.layers.recurrence import RNN
from rnnjax.testing.compare import explained, require_same, shown

PLAIN = "scan"
"""The implementation that every other is compared with."""


class Ran(NamedTuple):
    """What a cell makes of inputs, and the gradients of a smooth scalar of it.

    Attributes:
      carry: each row's last.
      outputs: ``[B, T, H]``.
      loss: the scalar.
      gradients: by what they are of: ``params``, ``inputs``, ``initial_carry`` and ``reset_carry``.
      variables: those that the steps have changed.
    """

    carry: Any
    outputs: Any
    loss: Any
    gradients: dict[str, Any]
    variables: Any

    @property
    def values(self) -> dict[str, Any]:
        """Carry and outputs."""
        return {"carry": self.carry, "outputs": self.outputs}


class Given(NamedTuple):
    """What a cell is run on, besides its variables: inputs ``[B, T, D]``, mask and resets ``[B, T]``, two carries."""

    inputs: Any
    mask: Any
    resets: Any
    carry: Any
    reset_carry: Any


class Trial:
    """A cell with drawn parameters and inputs.

    Attributes:
      cell: as it was given.
      name: of its class.
      size: ``(rows, steps, features_in)``.
      rng: draws whatever a check needs.
      changing: collections that the cell changes whatever it is told: they are one for all rows.
      tolerance: of comparisons, for the dtype in which the cell computes.
      variables: of ``RNN(cell)``: as initialised, with noise on every parameter, so that zeros hide nothing.
      given: real inputs at all steps, no resets, and carries that the cell has reached on other inputs.
    """

    def __init__(self, cell: RecurrentCell, size: tuple[int, int, int], seed: int):
        self.cell, self.name, self.size, self.seed = cell, type(cell).__name__, size, seed
        self.rng = np.random.default_rng(seed)
        self._programs: dict[Any, Callable[..., Ran]] = {}
        inputs = self.drawn_inputs()
        kinds = (TypeError, ValueError, KeyError, AttributeError, NotImplementedError, flax.errors.FlaxError)
        with explained(f"{self.name} does not run {self.shown()}", *kinds):
            self.variables = self._initialised(inputs)
            self.changing = self._changing(inputs)
            template = self.own_carry(inputs)
            half = jnp.dtype(cell.compute_dtype(jnp.asarray(inputs))).itemsize < 4
            self.tolerance = 0.05 if half else 1e-5
            nothing = Given(inputs, self.window(0, size[1]), self.window(0, 0), template, template)
            first = self.run(nothing).carry
            second = self.run(nothing._replace(inputs=self.drawn_inputs())).carry
        self.given = nothing._replace(inputs=self.drawn_inputs(), carry=first, reset_carry=second)

    def shown(self, **more: Any) -> str:
        """What a sentence says of the input."""
        rows, steps, features_in = self.size
        return shown({"rows": rows, "steps": steps, "features_in": features_in, "seed": self.seed, **more})

    def window(self, start: int, stop: int) -> np.ndarray:
        """A mask ``[B, T]`` that is True from ``start`` until ``stop``."""
        steps = np.arange(self.size[1])
        return np.broadcast_to((start <= steps) & (steps < stop), self.size[:2])

    def holes(self) -> np.ndarray:
        """A mask ``[B, T]``: row 0 is whole, row 1 lacks one step inside, row 2 ends early, the last is empty."""
        mask = np.array(self.window(0, self.size[1]))
        mask[1, 1] = False
        mask[2:-1, -2:] = False
        mask[-1] = False
        return mask

    def require_same(self, ours: Any, theirs: Any, sentence: str, tolerance: float | None = None, **more: Any) -> None:
        """Raises AssertionError, with the cell, the sentence and the input, where two trees differ."""
        allowed = self.tolerance if tolerance is None else tolerance
        require_same(ours, theirs, allowed, f"{self.name}: {sentence} {self.shown(**more)}")

    def drawn_inputs(self) -> np.ndarray:
        return self.rng.normal(size=self.size).astype(np.float32)

    def own_carry(self, inputs: Any) -> Any:
        """The cell's first carry, in the dtype that :class:`RNN` asks for."""
        dtype = self.cell.compute_dtype(jnp.asarray(inputs))
        return self.cell.initialize_carry(None, (self.size[0], self.size[2]), dtype)

    def of_cell(self, variables: Any) -> Any:
        """The cell's variables among those of ``RNN(cell)``."""
        return {name: tree["cell"] for name, tree in variables.items() if "cell" in tree}

    @functools.cached_property
    def implementations(self) -> tuple[str, ...]:
        """The plain one, and those that name no obstacle for this cell under a mask and resets."""
        names = [PLAIN]
        for row in IMPLEMENTATIONS:
            if row.name == PLAIN:
                continue
            try:
                jax.eval_shape(self._of(row.name, False), self.variables, *self.given)
                names.append(row.name)
            except UsageError as error:
                if f"implementation={row.name!r} cannot run" not in str(error):
                    raise AssertionError(f"{self.name} under implementation={row.name!r}: {error}") from error
        return tuple(names)

    def run(self, given: Given, implementation: str = PLAIN, *, reverse: bool = False, variables: Any = None) -> Ran:
        """All steps and the gradients, by a program that is compiled once."""
        key = (implementation, reverse)
        if key not in self._programs:
            self._programs[key] = jax.jit(self._of(*key))
        return self._programs[key](self.variables if variables is None else variables, *given)

    def forward(self, variables: Any, inputs: Any, **options: Any) -> tuple[Any, Any]:
        """Carry and outputs of ``RNN(cell)``, not compiled."""
        return RNN(self.cell, implementation=PLAIN).apply(variables, inputs, mutable=self.changing, **options)[0]

    def _of(self, implementation: str, reverse: bool) -> Callable[..., Ran]:
        return ran_by(RNN(self.cell, implementation=implementation, reverse=reverse), self.changing)

    def _initialised(self, inputs: np.ndarray) -> Any:
        variables = jax.jit(RNN(self.cell, implementation=PLAIN).init)(jax.random.key(self.seed), inputs)

        def noisy(leaf: Any) -> Any:
            if not jnp.issubdtype(leaf.dtype, jnp.inexact):
                return leaf
            return (leaf + 0.2 * self.rng.normal(size=leaf.shape)).astype(leaf.dtype)

        apart = (*self.cell.stacked, "perturbations")  # they have an entry a step
        kept = {name: tree for name, tree in variables.items() if name not in apart}
        return {**kept, "params": jax.tree.map(noisy, variables.get("params", {}))}

    def _changing(self, inputs: np.ndarray) -> list[str]:
        layer = RNN(self.cell, implementation=PLAIN)
        try:
            jax.eval_shape(layer.apply, self.variables, inputs)
        except flax.errors.ModifyScopeVariableError:
            return list(self.cell.carried)
        return []


def ran_by(layer: RNN, changing: list[str]) -> Callable[..., Ran]:
    """``(variables, *Given)`` to :class:`Ran`, of a layer whose collections ``changing`` are mutable."""

    def run(variables: Any, *given: Any) -> Ran:
        def loss(moved: dict[str, Any], mask: Any, resets: Any) -> tuple[Any, Any]:
            carries = {name: moved[name] for name in ("initial_carry", "reset_carry")}
            full = {**variables, "params": moved["params"]}
            result, changed = layer.apply(full, moved["inputs"], mask=mask, resets=resets, mutable=changing, **carries)
            return smooth(result), (result, changed)

        inputs, mask, resets, carry, reset_carry = given
        moved = {"params": variables["params"], "inputs": inputs, "initial_carry": carry, "reset_carry": reset_carry}
        graded = jax.value_and_grad(loss, has_aux=True, allow_int=True)
        (value, ((last, outputs), changed)), gradients = graded(moved, mask, resets)
        # Of integers in a carry, the gradient has a dtype that holds no numbers.
        gradients = jax.tree.map(lambda g: jnp.zeros(g.shape) if g.dtype == jax.dtypes.float0 else g, gradients)
        return Ran(last, outputs, value, gradients, changed)

    return run


def smooth(tree: Any) -> Any:
    """A scalar into which every finite float of a tree goes, without a kink."""

    def one(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return 0.0
        leaf = leaf.astype(jnp.float32) if leaf.dtype.itemsize < 4 else leaf
        parts = (leaf.real, leaf.imag) if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else (leaf,)
        finite = [jnp.where(jnp.isfinite(part), part, 0) for part in parts]
        return sum(jnp.sin(part).sum() for part in finite)

    return sum(one(leaf) for leaf in jax.tree.leaves(tree))

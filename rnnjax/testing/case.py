"""A task with outputs and a batch, and what is made of them: masks, junk in padding, compiled sums."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from rnnjax.data.spec import Spec
from rnnjax.tasks import Task
from rnnjax.tasks.sums import Run, totals


@dataclass(frozen=True, eq=False)
class Case:
    """What a task is checked with.

    Attributes:
      task: as a run has it, prepared.
      fresh: as its author made it.
      outputs: a tree of NumPy arrays ``[B, ...]``.
      batch: NumPy arrays ``[B, ...]`` by name, without a mask.
      spec: of the data, where it is known.
      batchwise: the loss of training looks at a batch as a whole.
      rng: draws whatever a check needs.
      name: of the task's class.
      said: what a sentence says of the input.
    """

    task: Task
    fresh: Task
    outputs: Any
    batch: Mapping[str, np.ndarray]
    spec: Spec | None
    batchwise: bool
    rng: np.random.Generator
    name: str
    said: str

    @property
    def rows(self) -> int:
        """B."""
        return len(next(iter(self.batch.values())))

    def sums(self, train: bool) -> Run:
        """The task's sums, compiled once for each number of rows."""
        return self._compiled[train]

    @functools.cached_property
    def _compiled(self) -> dict[bool, Run]:
        return {train: jax.jit(functools.partial(self.task.sums, train=train)) for train in (False, True)}

    def masked(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        """The batch with a mask."""
        return {**self.batch, "mask": mask}

    @property
    def whole(self) -> dict[str, np.ndarray]:
        """The batch with a mask that leaves nothing out."""
        return self.masked(np.ones(self.rows, bool))

    def totals(self, outputs: Any, *, train: bool = False) -> dict[str, np.ndarray]:
        """Sums of all rows, in float64."""
        return totals(self.sums(train), outputs, self.batch, range(self.rows), np.ones(self.rows, bool))

    def masks(self) -> tuple[np.ndarray, np.ndarray]:
        """A mask with padding in the middle and at the end, and one of a single real row."""
        rows = np.arange(self.rows)
        return (rows != 1) & (rows != self.rows - 1), rows == 0

    def spoilt(self, mask: np.ndarray, junk: float) -> tuple[Any, dict[str, np.ndarray]]:
        """Outputs with junk in padding rows, and a batch that has other rows' values there."""
        chosen = np.where(mask, np.arange(self.rows), int(mask.argmax()))

        def fill(leaf: np.ndarray) -> np.ndarray:
            real = mask.reshape(-1, *[1] * (leaf.ndim - 1))
            return np.where(real, leaf, np.asarray(junk, leaf.dtype))

        return jax.tree.map(fill, self.outputs), {key: array[chosen] for key, array in self.batch.items()}

    def metrics(self, outputs: Any) -> dict[str, float]:
        """What the task makes of all rows in evaluation."""
        return self.task.finish(self.totals(outputs))

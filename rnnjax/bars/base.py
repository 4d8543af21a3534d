"""What a bar is, what it is asked, and how outputs become one: by the very task that judges the network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnnjax.data import Dataset, Examples
from rnnjax.tasks import Task

_ROWS = 4096
"""Examples that are judged at once."""


@dataclass(frozen=True)
class Bar:
    """A plain method on the same data, beside which a network shows what it is worth.

    Attributes:
      name: as it is shown, in ``the network beats the NAME``.
      metrics: of the split that was asked for, under the task's names.
      outcomes: what each example of it adds to the compared figure, ``[N]`` or ``[N, K]``, as
        :meth:`rnnjax.tasks.Task.outcomes` gives it for the network, for a paired test; None: there is none.
      note: what a user should know of it, such as that it was trained on a sample.
    """

    name: str
    metrics: Mapping[str, float]
    outcomes: np.ndarray | None = None
    note: str = ""


class Asked(NamedTuple):
    """What a bar is asked.

    Attributes:
      dataset: the network's, with the same splits: it learns from ``train``, and chooses by ``validation``.
      task: the network's, as it was prepared.
      split: which one it is judged on.
      seconds: that it may take, roughly; what would take longer learns from a sample, or leaves it.
    """

    dataset: Dataset
    task: Task
    split: str
    seconds: float

    @property
    def examples(self) -> Examples:
        """Those of the split."""
        return self.dataset.split(self.split)


Maker = Callable[[Asked], Bar | None]
"""Makes a bar, or None where its kind of data or of task is another."""


def targets_of(dataset: Dataset, examples: Examples, rows: Any = slice(None)) -> dict[str, np.ndarray]:
    """A split's arrays by name without the model's inputs, and lengths where there are some: those that judge."""
    kept = {
        name: array for name, array in examples.stored().items() if name == "lengths" or name not in dataset.spec.inputs
    }
    return {name: np.asarray(array[rows]) for name, array in kept.items() if name not in examples.encoded}


def judged(name: str, outputs: np.ndarray, asked: Asked, *, likely: bool = False, note: str = "") -> Bar:
    """The bar of outputs as a model would give them.

    Args:
      name: of the bar.
      outputs: ``[N, ...]``, a row an example of the split that was asked for.
      asked: what it was asked.
      likely: whether the outputs are such that the task's loss means something, as logits do.
      note: what a user should know of it.
    """
    import jax

    task, totals, kept = asked.task, {}, []
    for start in range(0, len(outputs), _ROWS):
        rows = slice(start, start + _ROWS)
        made, batch = outputs[rows], targets_of(asked.dataset, asked.examples, rows)
        batch["mask"] = np.ones(len(made), bool)
        arrays, given = jax.tree.map(jax.numpy.asarray, (made, batch))
        for key, value in task.sums(arrays, given, train=False).items():
            totals[key] = totals.get(key, 0.0) + np.asarray(value, np.float64)
        kept.append(jax.tree.map(np.asarray, task.keep(arrays, given)))
    every = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
    metrics = {**task.finish(totals), **task.finish_kept(every, asked.dataset.spec)}
    report = task.report(totals, every, asked.dataset.spec)
    metrics |= report.values
    if not likely:
        metrics.pop("loss", None)
    return Bar(name, metrics, task.outcomes(every, asked.dataset.spec), note)

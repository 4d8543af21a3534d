"""The contract of a task: the whole meaning of a model's outputs.

A task says what is differentiated, what is measured and what is answered. Its sums add up over the rows of a batch,
over batches, devices and hosts, so that what :meth:`Task.finish` makes of them is right for any padding, any number of
devices and uneven last batches. No module of tasks imports JAX when it is imported: experiments hold tasks, and
``--help`` waits for nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from rnnjax.data import Dataset
    from rnnjax.data.spec import Spec

Batch = Mapping[str, Any]
"""A batch's arrays by name, each ``[B, ...]``: inputs, targets, ``lengths`` where rows have some, and ``mask [B]``,
False at rows that are padding and must not count."""


class Metric(NamedTuple):
    """A figure that a task is judged by.

    Attributes:
      name: among those of :meth:`Task.finish`.
      best: whether more or less of it is better.
      shown: how it is written, by :meth:`str.format`.
    """

    name: str
    best: Literal["max", "min"] = "max"
    shown: str = "{:.2%}"

    def show(self, value: float) -> str:
        """The value as it is written."""
        return self.shown.format(value)

    def score(self, value: float) -> float:
        """The value, turned such that more is better; what is no number is worst."""
        if math.isnan(value):
            return -math.inf
        return value if self.best == "max" else -value

    def reaches(self, value: float, wanted: float) -> bool:
        """Whether a value is as good as the one that is wanted."""
        return self.score(value) >= self.score(wanted)


class Report(NamedTuple):
    """What a split's outputs show beside the metrics.

    Attributes:
      values: figures for the result, by name.
      page: JSON values for a file of their own; None: there is none.
      figures: pictures by name, each drawn by ``draw(path, title)``.
    """

    values: Mapping[str, float] = {}
    page: Mapping[str, Any] | None = None
    figures: Mapping[str, Callable[[Path, str], None]] = {}


@dataclass(frozen=True)
class Task:
    """What outputs mean. A task of one's own overrides :meth:`sums` and, for metrics of its own, :meth:`finish`.

    Attributes:
      headline: the metric that decides which checkpoint is best, stops early, and is compared with the target.
      also: metrics that are shown beside it.
      per_step: whether it has a class at each step of a sequence, and :class:`rnnjax.Arrays` reads ``y`` so.
      generates: whether the outputs are logits ``[B, T, V]`` of the token after each, so that a model can go on.
      by_data: whether it only stands for the task that the data ask for, see :class:`rnnjax.tasks.by_data.ByData`.
    """

    headline: ClassVar[Metric] = Metric("loss", "min", "{:.4f}")
    also: ClassVar[tuple[Metric, ...]] = ()
    per_step: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    by_data: ClassVar[bool] = False

    def chosen(self, dataset: "Dataset") -> "Task":
        """The task that a data set is trained on: this one, unless it is :attr:`by_data`."""
        del dataset
        return self

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """Sums over the real rows of a batch.

        Args:
          outputs: what the model made of the batch.
          batch: its arrays.
          train: whether it is trained on.

        Returns:
          Arrays that add up: ``loss``, whose sum is differentiated, ``weight``, by whose sum it is divided, and any
          others of any shape.
        """
        raise UsageError(f"{type(self).__name__} must say by sums(outputs, batch, *, train) what is added up")

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Metrics by name, of :meth:`sums` that were added up over a split, as float64 NumPy values."""
        return {"loss": mean(totals["loss"], totals["weight"])}

    def rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """What orders epochs: the headline, and among equals, which a small split makes frequent, the loss."""
        loss = metrics.get("loss", 0.0)
        return self.headline.score(metrics[self.headline.name]), -math.inf if math.isnan(loss) else -loss

    def objective(self, apply: Callable[[Batch], Any], batch: Batch) -> dict[str, Any]:
        """The sums of a training batch, for losses that need the model itself, or more than one pass through it."""
        return self.sums(apply(batch), batch, train=True)

    def check(self, outputs: Any, batch: Batch) -> None:
        """Raises UsageError where shapes or dtypes of outputs and targets do not belong together.

        It is called once, with shapes alone, before anything is compiled.
        """

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError where a data set has no targets of this task."""

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """The task with what it takes from the training split and from the optimizer's section."""
        if getattr(optim, "label_smoothing", 0.0):
            raise UsageError(f"--optim.label-smoothing is of classes; {type(self).__name__} has none")
        return self

    def width(self, spec: "Spec") -> int:
        """How many outputs a model's head has."""
        return spec.outputs

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """How many outputs a row of a model of one's own may have; empty: :meth:`check` and :meth:`sums` decide."""
        return ()

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """What of a batch leaves the devices for :meth:`report`: a tree of ``[B, ...]`` of one size for all batches."""
        return None

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """What a whole split shows; ``kept`` is a tree of NumPy arrays ``[N, ...]`` in the split's order."""
        return Report()

    def unpadded(self, outputs: Any, lengths: np.ndarray | None) -> Any:
        """Outputs ``[N, ...]`` as :meth:`answers` and :meth:`rows` take them; a task of steps cuts them to ``lengths``.

        Args:
          outputs: what the model made of N rows, padding included.
          lengths: ``[N]``, the steps of each row; None where the model is given none.
        """
        del lengths
        return outputs

    def answers(self, outputs: np.ndarray, spec: "Spec") -> Any:
        """What a user reads of outputs ``[N, ...]``: an array with a row an example."""
        return outputs

    def rows(self, outputs: np.ndarray, spec: "Spec") -> list[dict[str, Any]]:
        """The same as JSON values, for ``predict``."""
        return [{"answer": answer.tolist()} for answer in np.asarray(self.answers(outputs, spec))]

    def line(self, row: Mapping[str, Any]) -> str:
        """A row of :meth:`rows` as ``predict`` prints it."""
        return "\t".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values())

    def to_json(self) -> dict[str, Any] | None:
        """The fields that :meth:`prepared` set, as JSON values, for the work folder; None: there are none."""
        return None

    def restored(self, state: Mapping[str, Any] | None) -> Self:
        """The task as it was prepared, of what :meth:`to_json` gave."""
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in (state or {}).items()}
        return replace(self, **fields)


def mean(total: float, weight: float) -> float:
    """A mean of sums; 0 of nothing."""
    return float(total) / float(weight) if weight else 0.0


def target_of(batch: Batch) -> Any:
    """A batch's ``labels``, or where there are none its ``targets``.

    Raises:
      UsageError: if it has neither.
    """
    for name in ("labels", "targets"):
        if name in batch:
            return batch[name]
    raise UsageError(f"the examples have neither labels nor targets, but {', '.join(sorted(batch))}")

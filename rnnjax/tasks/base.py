"""The contract of a task: the whole meaning of a model's outputs.

A task says what is differentiated, what is measured and what is answered. Its sums add up over the rows of a batch,
over batches, devices and hosts, so that what :meth:`Task.finish` makes of them is right for any padding, any number of
devices and uneven last batches. No module of tasks imports JAX when it is imported: experiments hold tasks, and
``--help`` waits for nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
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


def figure(name: str, value: float) -> str:
    """A figure beside a headline: ``macro f1 64.22%``, as accuracies are written, or ``auc 0.9876``."""
    share = name.endswith(("f1", "accuracy", "exact_match")) or name.startswith("accuracy")
    return f"{name.replace('_', ' ')} {value:{'.2%' if share else '.4f'}}"


class Constant(NamedTuple):
    """The same answer for every example.

    Attributes:
      name: what it is called, in ``the network beats the NAME``.
      outputs: ``[N, ...]``, as a model's.
      note: which answer it is.
    """

    name: str
    outputs: np.ndarray
    note: str = ""


class Report(NamedTuple):
    """What a split's outputs show beside the metrics.

    Attributes:
      values: figures for the result, by name.
      page: JSON values for a file of their own; None: there is none.
      figures: pictures by name, each drawn by ``draw(path, title)``.
      mistakes: the worst answers, see :meth:`Task.mistakes`.
      signatures: how figures were made, in words by the figures' names.
    """

    values: Mapping[str, float] = {}
    page: Mapping[str, Any] | None = None
    figures: Mapping[str, Callable[[Path, str], None]] = {}
    mistakes: Sequence[Mapping[str, Any]] = ()
    signatures: Mapping[str, str] = {}


@dataclass(frozen=True)
class Task:
    """What outputs mean. A task of one's own overrides :meth:`sums` and, for metrics of its own, :meth:`finish`.

    Attributes:
      headline: the metric that decides which checkpoint is best, stops early, and is compared with the target.
      also: metrics that are shown beside it.
      per_step: whether it has a class at each step of a sequence, and :class:`rnnjax.Arrays` reads ``y`` so.
      forecasts: whether the targets are the rows ``[B, H, C]`` that follow windows ``[B, L, C]`` of a series.
      generates: whether the outputs are logits ``[B, T, V]`` of the token after each, so that a model can go on.
      writes: whether a model answers with a sequence that it searches for, greedily or by a beam.
      begins_others: whether a trained model has no answers of its own, and others begin with its weights.
      by_data: whether it only stands for the task that the data ask for, see :class:`rnnjax.tasks.by_data.ByData`.
    """

    headline: ClassVar[Metric] = Metric("loss", "min", "{:.4f}")
    also: ClassVar[tuple[Metric, ...]] = ()
    per_step: ClassVar[bool] = False
    forecasts: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    begins_others: ClassVar[bool] = False
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

    @property
    def chooser(self) -> Metric:
        """The metric that chooses the best checkpoint: the headline, or what :meth:`choosing` named."""
        return self.headline

    def choosing(self, name: str) -> Self:
        """The task with the best checkpoint chosen by that metric, see ``--train.best``; of no name, as it is.

        Raises:
          UsageError: if it cannot be chosen by.
        """
        if name not in ("", self.headline.name):
            raise UsageError(f"{type(self).__name__} chooses its best checkpoint by {self.headline.name}, not {name!r}")
        return self

    def fitting(self, dataset: "Dataset") -> tuple[str, str]:
        """The name of the metric to choose by that fits these data, and why; of the headline, two empty strings."""
        del dataset
        return "", ""

    def rank(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """What orders epochs: the metric that chooses, and among equals, which a small split makes frequent, the loss.

        An epoch that was validated without that metric comes last.
        """
        loss = metrics.get("loss", 0.0)
        return self.chooser.score(metrics.get(self.chooser.name, math.nan)), -math.inf if math.isnan(loss) else -loss

    def objective(self, apply: Callable[..., Any], batch: Batch) -> dict[str, Any]:
        """The sums of a training batch, for losses that need the model itself, or more than one pass through it.

        Args:
          apply: from a batch to the model's outputs; what it is given by name goes to the model's call beside them.
          batch: the arrays.
        """
        return self.sums(apply(batch), batch, train=True)

    def apart(self, answers: Any, others: Any) -> Any:
        """How far a model's outputs are from others of it, for each row ``[B]``: for virtual adversarial training."""
        raise UsageError(
            f"virtual adversarial training is of classes; {type(self).__name__} has none (--optim.adversarial-by loss)"
        )

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
        if getattr(optim, "class_weights", "none") != "none":
            raise UsageError(f"--optim.class-weights are of classes; {type(self).__name__} has none")
        return self

    def settled(self) -> Self:
        """The task as training prepared it, which takes nothing more from the training split of other data."""
        return self

    def judging(self, examples: "Examples", preprocess: Any) -> Self:
        """The task with what it takes from new labelled examples, which are no split of the training's data."""
        del examples, preprocess
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

    @property
    def looks_at_rows(self) -> bool:
        """Whether :meth:`finish_kept` has metrics, so that every evaluation keeps what :meth:`keep` says."""
        return False

    def finish_kept(self, kept: Any, spec: "Spec") -> dict[str, float]:
        """Metrics that do not add up over batches, of what was kept of a whole split."""
        return {}

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """What a whole split shows; ``kept`` is a tree of NumPy arrays ``[N, ...]`` in the split's order."""
        return Report()

    # Beside plain bars: see rnnjax.bars and rnnjax.tasks.compare

    def constant(self, train: "Examples", examples: "Examples", spec: "Spec") -> Constant | None:
        """The best outputs for ``examples`` that are the same for all, by the training split; None: there are none."""
        return None

    def by_frequencies(self, train: "Examples", examples: "Examples", spec: "Spec") -> dict[str, np.ndarray] | None:
        """What :meth:`keep` would keep of such outputs, ``loss`` and ``weight`` ``[N]``, where :meth:`constant` has
        none because they would be too large to make.
        """
        return None

    def regressed(self, examples: "Examples", spec: "Spec") -> np.ndarray | None:
        """What least squares fit, ``[N, outputs]``, such that their predictions are outputs of this task."""
        return None

    @property
    def compared(self) -> Metric:
        """The figure by which two sets of answers are compared."""
        return self.headline

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """What each example adds to the compared figure, ``[N, K]``; None: nothing that adds up over examples."""
        return None

    def counted(self, examples: int, outcomes: int, split: str) -> str:
        """In words, how many of a split's ``examples`` were judged, of which :meth:`outcomes` made so many rows."""
        del examples
        return f"{outcomes:,} {split} examples"

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The compared figure ``[draws]`` of outcomes ``[U, K]`` that occur ``counts [draws, U]`` times each."""
        from rnnjax.tasks.compare import weighted_mean

        return weighted_mean(rows, counts)

    def hits(self, rows: np.ndarray) -> np.ndarray | None:
        """Of outcomes ``[N, K]``, which are right, ``[N]``, where the compared figure is their share; else None."""
        return None

    def intervals(self, kept: Any, spec: "Spec") -> dict[str, tuple[float, float]]:
        """Intervals of 95 % by metric: Wilson's for shares of examples, the bootstrap's for others."""
        from rnnjax.tasks import compare

        rows = None if kept is None else self.outcomes(kept, spec)
        if rows is None:
            return {}
        hits = self.hits(rows)
        found = compare.interval(self.statistic, rows) if hits is None else compare.wilson(int(hits.sum()), len(hits))
        return {self.compared.name: found}

    def mistakes(self, kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
        """The ``most`` worst answers, the worst first: ``row`` (its number) and what of it a person should look at."""
        return []

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

    def probabilities(self, outputs: Any, spec: "Spec") -> Any:
        """The probability of each class, ``[N, C]`` in the order of their names; raises UsageError of no classes."""
        raise UsageError(f"{type(self).__name__} has no classes, and so no probabilities")

    @property
    def stepwise(self) -> bool:
        """Whether the lists of a row of :meth:`rows` have an entry a step."""
        return self.per_step or self.forecasts

    def check_asked(self, spec: "Spec", *, top: int, threshold: str | None) -> None:
        """Raises UsageError where :meth:`detailed` cannot be asked for these."""
        del spec
        if top or threshold is not None:
            option = "--top" if top else "--threshold"
            raise UsageError(
                f"{option} is for one class of several an example; {type(self).__name__} answers otherwise"
            )

    def detailed(
        self, outputs: Any, spec: "Spec", *, top: int = 0, threshold: str | None = None
    ) -> list[dict[str, Any]]:
        """:meth:`rows` with all that is known of each, as ``predict`` writes it to files.

        Args:
          outputs, spec: as for :meth:`rows`.
          top: so many of the most probable classes, and no others; 0: all.
          threshold: of the probability of the answer, see :class:`rnnjax.tasks.decisions.Threshold`.
        """
        del top, threshold
        return self.rows(outputs, spec)

    def line(self, row: Mapping[str, Any]) -> str:
        """A row of :meth:`rows` as ``predict`` prints it."""
        return "\t".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values())

    def heading(self, row: Mapping[str, Any]) -> str:
        """What ``predict`` prints above its answers, of which the first is given; empty: nothing."""
        del row
        return ""

    def shown(self, row: Mapping[str, Any], source: str) -> str:
        """A row of :meth:`rows` as ``predict`` prints it, with where its input stands."""
        return f"{self.line(row)}\t{source}"

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

"""One class of several at each step of a sequence: tagging."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks.base import Batch, Constant, Metric, Report, Task, mean

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec

Score = Literal["accuracy", "macro-f1", "span-f1"]

_HEADLINES = {name: Metric(name.replace("-", "_")) for name in typing.get_args(Score)}
_SPANS = ("spans_correct", "spans_predicted", "spans_gold")


@dataclass(frozen=True)
class PerStep(Task):
    """Cross-entropy and accuracy of a class at each step; F1 of classes, and of spans where the classes are tags.

    A model answers ``[B, T, C]``, and the data have ``labels [B, T]``. A step counts where its row is real, it lies
    within ``lengths``, and it has a label, 0 or more: -1 stands at others, such as the later parts of a word.

    Attributes:
      score: what chooses the best checkpoint: the share of steps that are right; F1 in the mean over the classes that
        occur; or F1 of whole spans as conlleval counts it, see :mod:`rnnjax.tasks.spans`.
      within: numbers of steps; the accuracy over so many first steps of each sequence is counted too, as
        ``accuracy_within_STEPS``. A model that reads forwards answers at each as if the sequence ended there, so that
        it is that on sequences of this length.
      scored_within: the one of them that the score is of, instead of all steps; 0 is none.
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from.
      tags: the classes' names where they are tags (O, B-PER, I-PER and the like); taken from the data.
      steps: of the longest row of all splits; taken from the data.
      class_weights: factor of a step's training loss by its class, see ``--optim.class-weights``.
    """

    kind: ClassVar[str] = "per_step"
    per_step: ClassVar[bool] = True
    score: Score = "accuracy"
    within: tuple[int, ...] = ()
    scored_within: int = 0
    label_smoothing: float = 0.0
    tags: tuple[str, ...] = ()
    steps: int = 0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self):
        if self.score not in _HEADLINES:
            raise UsageError(f"PerStep: score must be one of {', '.join(_HEADLINES)}, got {self.score!r}")
        if not all(isinstance(steps, int) and steps > 0 for steps in self.within):
            raise UsageError(f"PerStep: within needs numbers of steps, 1 or more, got {self.within}")
        if self.scored_within and (self.scored_within not in self.within or self.score != "accuracy"):
            raise UsageError(
                f"PerStep: scored_within must be one of within, {self.within}, by accuracy; got {self.scored_within}"
            )

    @property
    def headline(self) -> Metric:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What ``score`` names, over the steps that it is of."""
        return _within(self.scored_within) if self.scored_within else _HEADLINES[self.score]

    @property
    def also(self) -> tuple[Metric, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The accuracy over the first steps, where that is counted."""
        return tuple(_within(steps) for steps in self.within if steps != self.scored_within)

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats and ``weight`` of the steps that count; steps by class, and spans by type.

        By class, ``[C]``: ``hits`` (right), ``predicted`` and ``gold``. Rows weigh as ``weights [B]`` say.
        """
        import jax.numpy as jnp

        from rnnjax.tasks import losses, spans

        labels, predicted = _counted(batch), outputs.argmax(-1)
        counted = labels >= 0
        loss = losses.per_step_cross_entropy(outputs, labels, self.label_smoothing if train else 0.0)
        if train and self.class_weights:
            loss = losses.weighed(loss, jnp.maximum(labels, 0), self.class_weights)
        loss = loss.sum(-1)
        weights = batch["mask"].astype(jnp.int32)
        if "weights" in batch:
            weights = jnp.where(batch["mask"], batch["weights"].astype(loss.dtype), 0)

        def by_class(chosen: Any, classes: Any) -> Any:
            of_class = chosen[..., None] & (classes[..., None] == jnp.arange(outputs.shape[-1]))
            return (of_class.sum(1) * weights[:, None]).sum(0)

        return {
            "loss": (weights * loss).sum(),
            "weight": (weights * counted.sum(1)).sum(),
            "hits": by_class(counted & (predicted == labels), labels),
            "predicted": by_class(counted, predicted),
            "gold": by_class(counted, labels),
            **(self._beginnings(predicted, labels, weights) if self.within else {}),
            **(spans.counts(predicted, labels, self.tags, weights) if self.tags else {}),
        }

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """``loss``, ``accuracy``, also within the first steps, and ``macro_f1``; of tags ``span_f1``,
        ``span_precision`` and ``span_recall`` too.
        """
        hits, shown = (np.asarray(part, np.float64) for part in (totals["hits"], totals["predicted"] + totals["gold"]))
        f1 = 2 * hits[shown > 0] / shown[shown > 0]
        metrics = {
            "loss": mean(totals["loss"], totals["weight"]),
            "accuracy": mean(hits.sum(), totals["weight"]),
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        }
        for place, steps in enumerate(self.within):
            right, counted = (totals[name][place] for name in ("right_within", "counted_within"))
            metrics[_within(steps).name] = mean(right, counted)
        if self.tags:
            from rnnjax.tasks import spans

            found = spans.scores(*(totals[name] for name in _SPANS))
            metrics |= dict(zip(("span_precision", "span_recall", "span_f1"), found, strict=True))
        return metrics

    def check(self, outputs: Any, batch: Batch) -> None:
        """Logits must be ``[B, T, C]`` floats, labels ``[B, T]`` integers."""
        if not hasattr(outputs, "shape"):
            raise UsageError(f"logits must be one array [B, T, C], got a {type(outputs).__name__}")
        labels = _labels(batch)
        if len(outputs.shape) != 3 or tuple(labels.shape) != tuple(outputs.shape[:2]):
            raise UsageError(
                f"logits {list(outputs.shape)} and labels {list(labels.shape)} do not fit; they must be [B, T, C], "
                "a row of logits for each step, and [B, T]"
            )
        weights = batch.get("weights")
        if weights is not None and tuple(weights.shape) != tuple(outputs.shape[:1]):
            raise UsageError(f"weights {list(weights.shape)} must be one an example, [{outputs.shape[0]}]")

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless all labels are classes of real steps; of spans, unless the classes are tags."""
        from rnnjax.data.step_labels import check_step_labels

        check_step_labels(dataset)
        names = dataset.spec.names
        if self.score == "span-f1" and not _are_tags(names):
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise DataError(
                f"{dataset.name}: F1 of spans needs classes whose names are tags, such as O, B-PER and I-PER; "
                f"they are {shown or 'not named'}"
            )

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the optimizer's label smoothing, the classes' names where they are tags, and the longest row."""
        from rnnjax.tasks.balance import class_weights

        names = dataset.spec.names
        counted = _real_labels(dataset.train)
        return replace(
            self,
            class_weights=class_weights(optim, counted, dataset.spec.outputs) or self.class_weights,
            label_smoothing=getattr(optim, "label_smoothing", 0.0) or self.label_smoothing,
            tags=tuple(names) if _are_tags(names) else (),
            steps=max(split["labels"].shape[1] for split in dataset.splits().values()),
        )

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """As many as there are classes."""
        return (spec.outputs,)

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """Predicted classes and labels, ``[B, steps]``, and weights where there are some."""
        import jax.numpy as jnp

        labels, predicted = _counted(batch), outputs.argmax(-1).astype(jnp.int32)
        missing = ((0, 0), (0, max(self.steps - labels.shape[1], 0)))  # batches are padded to several lengths
        kept = {"labels": jnp.pad(labels, missing, constant_values=-1), "predicted": jnp.pad(predicted, missing)}
        return kept | ({"weights": batch["weights"]} if "weights" in batch else {})

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """Each class by itself and the confusion matrix over the steps that count; of tags, each type of span."""
        from rnnjax.tasks.class_report import report_of_steps

        counted = kept["labels"] >= 0
        weights = np.broadcast_to(kept["weights"][:, None], counted.shape)[counted] if "weights" in kept else None
        report = report_of_steps(kept["predicted"][counted], kept["labels"][counted], _names(spec), weights)
        if not self.tags:
            return report
        from rnnjax.tasks import spans

        of_spans = {"spans": spans.page(*(totals[name] for name in _SPANS), tags=self.tags)}
        return report._replace(page={**(report.page or {}), **of_spans})

    def _beginnings(self, predicted: Any, labels: Any, weights: Any) -> dict[str, Any]:
        """Of each number of first steps, how many of them count and how many of those are right."""
        import jax.numpy as jnp

        parts = {"right_within": predicted == labels, "counted_within": labels >= 0}
        return {
            name: jnp.stack([(weights * part[:, :steps].sum(1)).sum() for steps in self.within])
            for name, part in parts.items()
        }

    def constant(self, train: "Examples", examples: "Examples", spec: "Spec") -> Constant:
        """The most frequent class at every step."""
        counts = np.bincount(_real_labels(train), minlength=spec.outputs)
        logits = np.log(np.maximum(counts, 1e-9) / counts.sum()).astype(np.float32)
        outputs = np.broadcast_to(logits, (*examples["labels"].shape, spec.outputs))
        return Constant("majority class", outputs, f"always {_names(spec)[int(counts.argmax())]!r}")

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """Of each sequence, whose steps go together: right steps and steps, or for macro F1 those of each class."""
        if self.score == "span-f1":
            return None
        labels, predicted = kept["labels"], kept["predicted"]
        weights = np.asarray(kept.get("weights", np.ones(len(labels))), np.float64)[:, None]
        counted, right = labels >= 0, labels == predicted
        if self.score == "accuracy":
            counted = counted & (np.arange(labels.shape[1]) < (self.scored_within or labels.shape[1]))
            return weights * np.stack([(counted & right).sum(1), counted.sum(1)], 1)
        classes = len(_names(spec))
        chosen = [(counted & right, labels), (counted, predicted), (counted, labels)]
        sums = [[(of & (which == c)).sum(1) for c in range(classes)] for of, which in chosen]
        return weights * np.concatenate(sums).T

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The share of steps that are right, or macro F1."""
        from rnnjax.tasks.compare import f1_of

        added = counts @ rows
        if self.score != "accuracy":
            return f1_of(*np.split(added, 3, axis=1))
        return np.divide(added[:, 0], added[:, 1], out=np.full(len(added), np.nan), where=added[:, 1] > 0)

    def unpadded(self, outputs: Any, lengths: np.ndarray | None) -> Any:
        """The logits of each row's own steps, a list of ``[T, C]``; those of rows of one length as they are."""
        return outputs if lengths is None else [row[:steps] for row, steps in zip(outputs, lengths, strict=True)]

    def answers(self, outputs: Any, spec: "Spec") -> list[list[Any]]:
        """The most probable class of each step, a list for each row: names, or numbers where they have no others."""
        names = _names(spec)
        numbered = names == tuple(map(str, range(len(names))))
        chosen = [np.asarray(row).argmax(-1).tolist() for row in outputs]
        return chosen if numbered else [[names[number] for number in row] for row in chosen]

    def rows(self, outputs: Any, spec: "Spec") -> list[dict[str, Any]]:
        """``labels``, the most probable class of each step, and their ``probabilities``."""
        from rnnjax.tasks.metrics import class_probabilities

        names, made = _names(spec), []
        for row in outputs:
            probabilities = class_probabilities(row)
            labels = [names[number] for number in probabilities.argmax(-1)]
            made.append({"labels": labels, "probabilities": probabilities.max(-1).tolist()})
        return made

    def probabilities(self, outputs: Any, spec: "Spec") -> list[np.ndarray]:
        """Those of each step: of each row ``[T, C]`` float64."""
        from rnnjax.tasks.metrics import class_probabilities

        return [class_probabilities(row) for row in outputs]

    def line(self, row: Mapping[str, Any]) -> str:
        """The labels."""
        return " ".join(row["labels"])

    def to_json(self) -> dict[str, Any]:
        """What a run was chosen and trained by, and the tags."""
        return {"score": self.score, "label_smoothing": self.label_smoothing, "tags": list(self.tags)}


def _labels(batch: Batch) -> Any:
    if "labels" not in batch:
        raise UsageError(f"the examples have no labels, but {', '.join(sorted(batch))}")
    return batch["labels"]


def _within(steps: int) -> Metric:
    return Metric(f"accuracy_within_{steps}")


def _counted(batch: Batch) -> Any:
    """The labels of a batch ``[B, T]``, and -1 at all steps that do not count."""
    import jax.numpy as jnp

    labels = _labels(batch)
    counted = batch["mask"][:, None] & (labels >= 0)
    if "lengths" in batch:
        counted &= jnp.arange(labels.shape[1]) < batch["lengths"][:, None]
    return jnp.where(counted, labels, -1)


def _real_labels(examples: "Examples") -> np.ndarray:
    """The labels of a split that count, one after the other."""
    labels = np.asarray(examples["labels"])
    counted = labels >= 0
    if examples.lengths is not None:
        counted &= np.arange(labels.shape[1]) < examples.lengths[:, None]
    return labels[counted]


def _are_tags(names: Sequence[str]) -> bool:
    from rnnjax.tasks.spans import are_tags

    return are_tags(names)


def _names(spec: "Spec") -> tuple[str, ...]:
    return spec.names or tuple(map(str, range(spec.outputs)))

"""One class of several an example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.tasks.base import Batch, Constant, Metric, Report, Task, mean, target_of

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec

_CHOOSERS = {
    "accuracy": Metric("accuracy"),
    "macro_f1": Metric("macro_f1"),
    "auc": Metric("auc"),
    "loss": Metric("loss", "min", "{:.4f}"),
}


@dataclass(frozen=True)
class Classification(Task):
    """Cross-entropy of logits with integer labels, and accuracy; a single logit means class 1 of two.

    Attributes:
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from.
      class_weights: factor of an example's training loss by its class, see ``--optim.class-weights``.
      best: what chooses the best checkpoint, see ``--train.best``: accuracy, F1 in the mean over classes (macro_f1),
        the area under the ROC curve (auc; of more than two classes, of each against the rest in the mean), or loss.
    """

    kind: ClassVar[str] = "classification"
    headline: ClassVar[Metric] = Metric("accuracy")
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    best: str = "accuracy"

    def __post_init__(self):
        if self.best not in _CHOOSERS:
            raise UsageError(f"the best checkpoint is chosen by one of {', '.join(_CHOOSERS)}, not {self.best!r}")

    @property
    def chooser(self) -> Metric:
        """What ``best`` names."""
        return _CHOOSERS[self.best]

    def choosing(self, name: str) -> Self:
        """With another ``best``."""
        return replace(self, best=name or self.best)

    def fitting(self, dataset: "Dataset") -> tuple[str, str]:
        """Macro F1 where one class has more than two thirds of the training examples."""
        from rnnjax.tasks.balance import UNEVEN, most_frequent

        number, share = most_frequent(target_of(dataset.train.arrays))
        if share <= UNEVEN:
            return "", ""
        return "macro_f1", f"{share:.0%} of the training examples are {dataset.spec.names[number]!r}"

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats, ``correct`` and ``weight`` of logits ``[B, C]``; rows weigh as ``weights [B]`` say."""
        from rnnjax.tasks import losses, metrics

        labels = target_of(batch)
        loss = losses.for_outputs(outputs.shape[-1])(outputs, labels, self.label_smoothing if train else 0.0)
        if train and self.class_weights:
            loss = losses.weighed(loss, labels, self.class_weights)
        weights = batch.get("weights")
        added = metrics.sums(outputs, labels, loss, batch["mask"], weights)
        return added | (metrics.by_class(outputs, labels, batch["mask"], weights) if self.best == "macro_f1" else {})

    def apart(self, answers: Any, others: Any) -> Any:
        """Kullback-Leibler divergence of the classes' probabilities, in nats, of logits ``[B, C]``."""
        from rnnjax.tasks import losses

        return losses.divergence(answers, others)

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Mean loss and accuracy, and macro F1 where it chooses; all are 0 of no rows."""
        found = {name: mean(totals[of], totals["weight"]) for name, of in (("loss", "loss"), ("accuracy", "correct"))}
        if "hits" not in totals:
            return found
        from rnnjax.tasks.compare import f1_of

        counts = [np.asarray(totals[name], np.float64)[None] for name in ("hits", "predicted", "gold")]
        return found | {"macro_f1": float(f1_of(*counts)[0])}

    @property
    def looks_at_rows(self) -> bool:
        """Whether AUC chooses: ranks do not add up."""
        return self.best == "auc"

    def finish_kept(self, kept: Any, spec: "Spec") -> dict[str, float]:
        """AUC, where it chooses; NaN where it is not defined."""
        if not self.looks_at_rows:
            return {}
        from rnnjax.tasks.class_report import area

        found = area(kept["logits"], kept["labels"], kept.get("weights"))
        return {"auc": float("nan") if found is None else found}

    def check(self, outputs: Any, batch: Batch) -> None:
        """Logits must be ``[B, C]`` floats, labels ``[B]`` integers: others would broadcast to a wrong number."""
        from rnnjax.tasks import losses

        if not hasattr(outputs, "shape"):
            raise UsageError(f"logits must be one array [B, C], got a {type(outputs).__name__}")
        losses.check_shapes(outputs, target_of(batch))

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless all labels are numbers of classes, two of which occur in training."""
        from rnnjax.data.labels import check_classes

        check_classes(dataset)

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the label smoothing and the class weights that the optimizer's section asks for."""
        from rnnjax.tasks.balance import class_weights

        weights = class_weights(optim, target_of(dataset.train.arrays), len(dataset.spec.names))
        return replace(
            self,
            label_smoothing=getattr(optim, "label_smoothing", 0.0) or self.label_smoothing,
            class_weights=weights or self.class_weights,
        )

    def width(self, spec: "Spec") -> int:
        """A logit a class, but one for two classes of text."""
        return 1 if spec.outputs == 2 and spec.vocabulary else spec.outputs

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """As many as there are classes, or one for two."""
        return (1, 2) if spec.outputs == 2 else (spec.outputs,)

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """Logits, labels, and weights where there are some."""
        kept = {"logits": outputs.astype("float32"), "labels": target_of(batch)}
        return kept | ({"weights": batch["weights"]} if "weights" in batch else {})

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """Each class by itself, the confusion matrix, and F1 and AUC as figures of the result."""
        from rnnjax.tasks.class_report import report

        return report(kept["logits"], kept["labels"], spec.names, kept.get("weights"))

    def constant(self, train: "Examples", examples: "Examples", spec: "Spec") -> Constant:
        """Logits that say how frequent each class is."""
        counts = np.bincount(target_of(train.arrays), train.arrays.get("weights"), minlength=len(spec.names))
        logits = np.log(np.maximum(counts, 1e-9) / max(counts.sum(), 1e-9)).astype(np.float32)
        outputs = np.broadcast_to(logits, (len(examples), len(logits)))
        return Constant("majority class", outputs, f"always {spec.names[int(counts.argmax())]!r}")

    def regressed(self, examples: "Examples", spec: "Spec") -> np.ndarray:
        """1 for an example's class and -1 for all others, ``[N, C]``; the largest prediction is the answer."""
        return 2.0 * np.eye(len(spec.names))[target_of(examples.arrays)] - 1.0

    @property
    def compared(self) -> Metric:
        """What chooses, or accuracy in place of the loss, which not every method has."""
        return self.headline if self.best == "loss" else self.chooser

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray | None:
        """Of each example: its class, the predicted one (for AUC the score), and how much it counts."""
        from rnnjax.tasks import class_report
        from rnnjax.tasks.metrics import class_probabilities

        logits, labels = kept["logits"], kept["labels"]
        if self.best == "auc" and len(spec.names) != 2:
            return None
        answers = class_report.scores(logits) if self.best == "auc" else class_probabilities(logits).argmax(-1)
        return np.stack([labels, answers, kept.get("weights", np.ones(len(labels)))], 1).astype(np.float64)

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Accuracy, macro F1 or AUC, as ``best`` says."""
        from rnnjax.tasks import compare

        if self.best == "auc":
            return compare.auc_of(rows, counts)
        if self.best == "macro_f1":
            return compare.f1_of(*compare.by_class(rows, counts, int(rows[:, :2].max()) + 1))
        return compare.weighted_mean(np.stack([rows[:, 0] == rows[:, 1], rows[:, 2]], 1), counts)

    def hits(self, rows: np.ndarray) -> np.ndarray | None:
        """Which examples are right, where accuracy is compared and all count alike."""
        alike = (rows[:, 2] == 1).all()
        return rows[:, 0] == rows[:, 1] if alike and self.compared.name == self.headline.name else None

    def intervals(self, kept: Any, spec: "Spec") -> dict[str, tuple[float, float]]:
        """Of accuracy, macro F1 and balanced accuracy, and of two classes AUC."""
        from rnnjax.tasks import compare

        found: dict[str, tuple[float, float]] = {}
        for name in ("accuracy", "macro_f1", "auc"):
            found |= super(Classification, replace(self, best=name)).intervals(kept, spec)

        def balanced(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
            hits, _, gold = compare.by_class(rows, counts, len(spec.names))
            return compare.recall_of(hits, gold)

        rows = replace(self, best="accuracy").outcomes(kept, spec)
        assert rows is not None
        return found | {"balanced_accuracy": compare.interval(balanced, rows)}

    def mistakes(self, kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
        """The wrong answers with the highest probabilities: ``row``, ``true``, ``predicted`` and ``probability``."""
        from rnnjax.tasks.metrics import class_probabilities

        probabilities, labels = class_probabilities(kept["logits"]), np.asarray(kept["labels"])
        predicted, sure = probabilities.argmax(-1), probabilities.max(-1)
        wrong = np.flatnonzero(predicted != labels)
        chosen: Sequence[int] = wrong[np.argsort(-sure[wrong], kind="stable")][:most].tolist()
        names = spec.names
        return [
            {"row": n, "true": names[labels[n]], "predicted": names[predicted[n]], "probability": float(sure[n])}
            for n in chosen
        ]

    def answers(self, outputs: np.ndarray, spec: "Spec") -> Any:
        """The most probable class of each row, ``[N]``: its name, or its number where classes have no other name."""
        labels = np.array([row["label"] for row in self.rows(outputs, spec)])
        numbered = spec.names == tuple(map(str, range(len(spec.names))))
        return labels.astype(np.int32) if numbered else labels

    def rows(self, outputs: np.ndarray, spec: "Spec") -> list[dict[str, Any]]:
        """``label``, the most probable class, and its ``probability``."""
        from rnnjax.tasks.metrics import class_probabilities

        probabilities = class_probabilities(outputs)
        best = probabilities.argmax(-1)
        return [
            {"label": spec.names[c], "probability": float(row[c])} for c, row in zip(best, probabilities, strict=True)
        ]

    def probabilities(self, outputs: Any, spec: "Spec") -> np.ndarray:
        """Softmax or sigmoid of the logits, ``[N, C]`` float64."""
        from rnnjax.tasks.metrics import class_probabilities

        return class_probabilities(outputs)

    def check_asked(self, spec: "Spec", *, top: int, threshold: str | None) -> None:
        """Raises UsageError unless there are so many classes, and the threshold is one."""
        from rnnjax.tasks.decisions import Threshold

        if not 0 <= top <= len(spec.names):
            raise UsageError(f"--top must be 1 to {len(spec.names)}, the number of classes, got {top}")
        if threshold is not None:
            Threshold.parse(threshold, spec.names)

    def detailed(
        self, outputs: Any, spec: "Spec", *, top: int = 0, threshold: str | None = None
    ) -> list[dict[str, Any]]:
        """:meth:`rows` with ``probabilities`` of all classes by name; or with ``top``, a list of the most probable."""
        from rnnjax.tasks.decisions import Threshold

        self.check_asked(spec, top=top, threshold=threshold)
        names, probabilities = spec.names, self.probabilities(outputs, spec)
        if threshold is not None:
            decided = Threshold.parse(threshold, names).decided(probabilities, names)
        else:
            best, sure = probabilities.argmax(-1).tolist(), probabilities.max(-1).tolist()
            decided = zip((names[number] for number in best), sure, strict=True)
        rows: list[dict[str, Any]] = [{"label": label, "probability": probability} for label, probability in decided]
        for row, part in zip(rows, probabilities, strict=True):
            if top:
                order = np.argsort(-part, kind="stable")[:top]
                row["top"] = [{"label": names[number], "probability": float(part[number])} for number in order]
            else:
                row["probabilities"] = dict(zip(names, part.tolist(), strict=True))
        return rows

    def line(self, row: Mapping[str, Any]) -> str:
        """The class and its probability in percent."""
        return f"{row['label']}\t{row['probability']:.1%}"

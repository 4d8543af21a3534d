"""One class of several an example."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.tasks.base import Batch, Metric, Report, Task, mean, target_of

if TYPE_CHECKING:
    from rnnjax.data import Dataset
    from rnnjax.data.spec import Spec


@dataclass(frozen=True)
class Classification(Task):
    """Cross-entropy of logits with integer labels, and accuracy; a single logit means class 1 of two.

    Attributes:
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from.
    """

    kind: ClassVar[str] = "classification"
    headline: ClassVar[Metric] = Metric("accuracy")
    label_smoothing: float = 0.0

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats, ``correct`` and ``weight`` of logits ``[B, C]``; rows weigh as ``weights [B]`` say."""
        from rnnjax.tasks import losses, metrics

        labels = target_of(batch)
        loss = losses.for_outputs(outputs.shape[-1])(outputs, labels, self.label_smoothing if train else 0.0)
        return metrics.sums(outputs, labels, loss, batch["mask"], batch.get("weights"))

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """Mean loss and accuracy; both are 0 of no rows."""
        return {name: mean(totals[of], totals["weight"]) for name, of in (("loss", "loss"), ("accuracy", "correct"))}

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
        """With the label smoothing of the optimizer's section."""
        return replace(self, label_smoothing=getattr(optim, "label_smoothing", 0.0) or self.label_smoothing)

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

    def line(self, row: Mapping[str, Any]) -> str:
        """The class and its probability in percent."""
        return f"{row['label']}\t{row['probability']:.1%}"

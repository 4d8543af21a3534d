"""Any number of labels of several an example."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks.base import Batch, Constant, Metric, Report, Task, mean

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec


@dataclass(frozen=True)
class MultiLabel(Task):
    """Sigmoid cross-entropy of each label by itself, macro F1, and the share of examples that are right in all labels.

    A model answers logits ``[B, L]``, and the data have ``targets [B, L]``, 1 where an example has the label and 0
    where it has not. A label is predicted where its logit is positive, a probability above one half.

    Attributes:
      label_smoothing: of the training loss, see ``--optim.label-smoothing``, which it is taken from: that share of a
        target is one half.
    """

    kind: ClassVar[str] = "multi_label"
    headline: ClassVar[Metric] = Metric("macro_f1")
    also: ClassVar[tuple[Metric, ...]] = (Metric("exact_match"),)
    label_smoothing: float = 0.0

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss`` in nats, a mean over labels; ``exact`` and ``weight`` of the rows; of each label, ``[L]``, ``hits``
        (predicted and there), ``predicted`` and ``gold``. Rows weigh as ``weights [B]`` say.
        """
        import jax.numpy as jnp

        from rnnjax.tasks import losses

        there, said = _targets(batch) > 0, outputs > 0
        smoothing = self.label_smoothing if train else 0.0
        weights = batch["mask"].astype(jnp.float32)
        if "weights" in batch:
            weights = jnp.where(batch["mask"], batch["weights"].astype(jnp.float32), 0)
        # What stands in padding may be NaN, which a product with a weight of 0 would keep.
        loss = losses.binary_of_each(jnp.where(batch["mask"][:, None], outputs, 0), there, smoothing).mean(-1)

        def by_label(chosen: Any) -> Any:
            return (weights[:, None] * chosen).sum(0)

        return {
            "loss": (weights * loss).sum(),
            "exact": (weights * (said == there).all(-1)).sum(),
            "weight": weights.sum(),
            "hits": by_label(said & there),
            "predicted": by_label(said),
            "gold": by_label(there),
        }

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """``loss``, ``macro_f1`` (a mean over the labels that occur or are predicted), ``micro_f1`` and
        ``exact_match``.
        """
        hits, shown = (np.asarray(part, np.float64) for part in (totals["hits"], totals["predicted"] + totals["gold"]))
        f1 = 2 * hits[shown > 0] / shown[shown > 0]
        return {
            "loss": mean(totals["loss"], totals["weight"]),
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
            "micro_f1": mean(2 * hits.sum(), shown.sum()),
            "exact_match": mean(totals["exact"], totals["weight"]),
        }

    def check(self, outputs: Any, batch: Batch) -> None:
        """Logits and targets must be ``[B, L]`` alike."""
        if not hasattr(outputs, "shape"):
            raise UsageError(f"logits must be one array [B, labels], got a {type(outputs).__name__}")
        targets = _targets(batch)
        if len(outputs.shape) != 2 or tuple(outputs.shape) != tuple(targets.shape):
            got = f"logits {list(outputs.shape)} and targets {list(targets.shape)}"
            raise UsageError(f"{got} do not fit; they must be [B, labels] alike")
        weights = batch.get("weights")
        if weights is not None and tuple(weights.shape) != tuple(targets.shape[:1]):
            raise UsageError(f"weights {list(weights.shape)} must be one an example, [{targets.shape[0]}]")

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless targets are 0 and 1, ``[N, L]``."""
        for split, examples in dataset.splits().items():
            has = ", ".join(examples.arrays)
            if "targets" not in examples.arrays:
                raise DataError(f"{dataset.name}: several labels an example are targets [N, labels]; {split} has {has}")
            targets = np.asarray(examples["targets"])
            if targets.ndim != 2 or targets.dtype.kind not in "biuf":
                got = f"{targets.dtype} {list(targets.shape)}"
                raise DataError(f"{dataset.name}: targets must be 0 and 1, [N, labels], got {got}")
            other = ((targets != 0) & (targets != 1)).any(-1)
            if other.any():
                row = int(other.argmax())
                raise DataError(f"{dataset.name}: targets must be 0 and 1, those of example {row} in {split} are not")

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With the label smoothing of the optimizer's section."""
        if getattr(optim, "class_weights", "none") != "none":
            raise UsageError("--optim.class-weights are of one class an example; of several labels each counts alike")
        return replace(self, label_smoothing=getattr(optim, "label_smoothing", 0.0) or self.label_smoothing)

    def widths(self, spec: "Spec") -> tuple[int, ...]:
        """As many as there are labels."""
        return (spec.outputs,)

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """Logits, targets, and weights where there are some."""
        kept = {"logits": outputs.astype("float32"), "targets": _targets(batch)}
        return kept | ({"weights": batch["weights"]} if "weights" in batch else {})

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """Each label by itself: precision, recall, F1 and support; what is 0 / 0 is 0."""
        hits, said, there = (np.asarray(totals[name], np.float64) for name in ("hits", "predicted", "gold"))
        labels = [
            {
                "name": name,
                "precision": mean(hits[number], said[number]),
                "recall": mean(hits[number], there[number]),
                "f1": mean(2 * hits[number], said[number] + there[number]),
                "support": float(there[number]),
            }
            for number, name in enumerate(_names(spec))
        ]
        metrics = self.finish(totals)
        values = {name: metrics[name] for name in ("micro_f1", "exact_match")}
        return Report(values, {"examples": len(kept["targets"]), **metrics, "labels": labels})

    # Beside plain bars, see rnnjax.bars

    def constant(self, train: "Examples", examples: "Examples", spec: "Spec") -> Constant:
        """Logits of how many training examples have each label."""
        targets, weights = np.asarray(train["targets"], np.float64), train.arrays.get("weights")
        share = np.clip(np.average(targets, 0, weights=weights), 1e-6, 1 - 1e-6)
        logits = np.log(share / (1 - share)).astype(np.float32)
        always = "|".join(name for name, logit in zip(_names(spec), logits, strict=True) if logit > 0)
        note = f"always {always}" if always else "no label, since each is absent from most examples"
        return Constant("most frequent labels", np.broadcast_to(logits, (len(examples), len(logits))), note)

    def regressed(self, examples: "Examples", spec: "Spec") -> np.ndarray:
        """1 where an example has a label and -1 where it has not, ``[N, L]``: predictions of them are logits."""
        return 2 * np.asarray(examples["targets"], np.float32) - 1

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray:
        """Of each example by label: hits, predicted labels and true ones, ``[N, 3 L]``."""
        there, said = np.asarray(kept["targets"]) > 0, np.asarray(kept["logits"]) > 0
        weights = np.asarray(kept.get("weights", np.ones(len(there))), np.float64)[:, None]
        return weights * np.concatenate([said & there, said, there], 1)

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Macro F1 ``[draws]`` of outcomes ``[U, 3 L]`` that occur ``counts [draws, U]`` times each."""
        hits, said, there = np.split(counts @ rows, 3, axis=1)
        shown = said + there
        f1 = np.divide(2 * hits, shown, out=np.full(shown.shape, np.nan), where=shown > 0)
        occurring = (shown > 0).sum(1)
        return np.divide(np.nansum(f1, 1), occurring, out=np.zeros(len(f1)), where=occurring > 0)

    def answers(self, outputs: np.ndarray, spec: "Spec") -> Any:
        """Which labels each row has: booleans ``[N, L]``, in the order of their names."""
        return np.asarray(outputs) > 0

    def probabilities(self, outputs: Any, spec: "Spec") -> np.ndarray:
        """That of each label, ``[N, L]``; they are not exclusive."""
        return 0.5 * (1 + np.tanh(0.5 * np.asarray(outputs, np.float64)))

    def rows(self, outputs: np.ndarray, spec: "Spec") -> list[dict[str, Any]]:
        """``labels``, the names of those that are predicted, and the ``probabilities`` of all by name."""
        names, made = _names(spec), []
        for row in np.asarray(outputs, np.float64):
            probabilities = 0.5 * (1 + np.tanh(0.5 * row))
            labels = [name for name, logit in zip(names, row, strict=True) if logit > 0]
            made.append({"labels": labels, "probabilities": dict(zip(names, probabilities.tolist(), strict=True))})
        return made

    def line(self, row: Mapping[str, Any]) -> str:
        """The labels with ``|`` between them, as a table may give them; ``-`` for none."""
        return "|".join(row["labels"]) or "-"

    def to_json(self) -> dict[str, Any]:
        """What a run was trained by."""
        return {"label_smoothing": self.label_smoothing}


def _targets(batch: Batch) -> Any:
    if "targets" not in batch:
        raise UsageError(f"the examples have no targets [B, labels], but {', '.join(sorted(batch))}")
    return batch["targets"]


def _names(spec: "Spec") -> tuple[str, ...]:
    return spec.names or tuple(map(str, range(spec.outputs)))

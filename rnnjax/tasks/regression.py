"""One number an example, or several."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import regression_report
from rnnjax.tasks.base import Batch, Constant, Metric, Report, Task, mean, target_of

if TYPE_CHECKING:
    from rnnjax.data import Dataset, Examples
    from rnnjax.data.spec import Spec


@dataclass(frozen=True)
class Regression(Task):
    """Squared error of targets, and its root (RMSE) in the targets' own units.

    A model's outputs are in units of the training targets' standard deviation, about their mean, so that a network
    with small weights starts near them whatever their scale; the loss is the squared error in those units.

    Attributes:
      standardize: whether ``mean`` and ``scale`` are taken from the training split.
      mean, scale: a value for all targets or one a column: a prediction is ``mean + scale * output``.
    """

    kind: ClassVar[str] = "regression"
    headline: ClassVar[Metric] = Metric("rmse", "min", "{:.4g}")
    standardize: bool = True
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def sums(self, outputs: Any, batch: Batch, *, train: bool) -> dict[str, Any]:
        """``loss``, ``squared`` and ``absolute`` errors, means over columns, and ``weight``, the rows.

        The last two errors are in units of the largest scale: in the targets' own, squares of very large or small
        ones have no number in float32.
        """
        import jax.numpy as jnp

        targets, mask = _columns(target_of(batch)), batch["mask"]
        mean, scale = jnp.asarray(self.mean, jnp.float32), jnp.asarray(self.scale, jnp.float32)
        relative = jnp.asarray(np.divide(self.scale, max(self.scale)), jnp.float32)
        # In units of the scale: a difference of large targets would lose what tells them apart.
        error = _columns(outputs).astype(jnp.float32) - (targets.astype(jnp.float32) - mean) / scale
        error = jnp.where(mask[:, None], error, 0)  # what stands in padding may be NaN
        weights = jnp.where(mask, batch["weights"].astype(jnp.float32) if "weights" in batch else 1.0, 0.0)

        def total(values: Any) -> Any:
            return (weights * values.mean(-1)).sum()

        return {
            "loss": total(error**2),
            "squared": total((relative * error) ** 2),
            "absolute": total(jnp.abs(relative * error)),
            "weight": weights.sum(),
        }

    def finish(self, totals: Mapping[str, Any]) -> dict[str, float]:
        """``loss``, ``rmse`` and ``mae``, the mean absolute error."""
        loss, squared, absolute = (mean(totals[name], totals["weight"]) for name in ("loss", "squared", "absolute"))
        unit = max(self.scale)
        return {"loss": loss, "rmse": unit * squared**0.5, "mae": unit * absolute}

    def check(self, outputs: Any, batch: Batch) -> None:
        """Outputs must have the targets' shape, or a column more where these have one alone."""
        targets = target_of(batch)
        if not hasattr(outputs, "shape"):
            raise UsageError(f"outputs must be one array [B, columns], got a {type(outputs).__name__}")
        wide = [(*part.shape, 1) if len(part.shape) == 1 else tuple(part.shape) for part in (outputs, targets)]
        if wide[0] != wide[1] or len(wide[0]) != 2:
            got = f"outputs {list(outputs.shape)} and targets {list(targets.shape)}"
            raise UsageError(f"{got} do not fit; they must be [B, columns] alike")
        weights = batch.get("weights")
        if weights is not None and tuple(weights.shape) != tuple(targets.shape[:1]):
            raise UsageError(f"weights {list(weights.shape)} must be one an example, [{targets.shape[0]}]")

    def check_data(self, dataset: "Dataset") -> None:
        """Raises DataError unless targets are numbers ``[N]`` or ``[N, columns]``."""
        targets = target_of(dataset.train.arrays)
        if targets.dtype.kind not in "biuf" or targets.ndim not in (1, 2):
            raise DataError(
                f"{dataset.name}: targets must be numbers [N] or [N, columns], got {targets.dtype} "
                f"{list(targets.shape)}"
            )

    def prepared(self, dataset: "Dataset", optim: Any) -> Self:
        """With mean and standard deviation of the training targets.

        Raises:
          DataError: where a target of any split lies so far from them that squared errors would have no number.
        """
        task = super().prepared(dataset, optim)
        if not task.standardize:
            return task
        from rnnjax.data.preprocess import one_where_constant

        targets = _columns(np.asarray(target_of(dataset.train.arrays), np.float64))
        mean, std = targets.mean(0), targets.std(0)
        scale = one_where_constant(std, mean, len(targets))
        for split, examples in dataset.splits().items():
            _check_near(examples, mean, scale, split, dataset)
        return replace(task, mean=tuple(mean.tolist()), scale=tuple(scale.tolist()))

    def settled(self) -> Self:
        """With the mean and scale that there are, in whose units the model answers."""
        return replace(self, standardize=False)

    def width(self, spec: "Spec") -> int:
        """An output a column; class numbers, of which a specification counts the classes, are one column."""
        return 1 if spec.names else spec.outputs

    def keep(self, outputs: Any, batch: Batch) -> Any:
        """Outputs, targets, and weights where there are some."""
        kept = {"outputs": outputs.astype("float32"), "targets": target_of(batch)}
        return kept | ({"weights": batch["weights"]} if "weights" in batch else {})

    def report(self, totals: Mapping[str, Any], kept: Any, spec: "Spec") -> Report:
        """``r2``, errors by column, and a picture, see :mod:`rnnjax.tasks.regression_report`."""
        targets = _columns(np.asarray(kept["targets"], np.float64))
        predicted = _columns(np.asarray(self.answers(kept["outputs"], spec), np.float64))
        weights = np.asarray(kept.get("weights", np.ones(len(targets))), np.float64)
        return regression_report.report(targets, predicted, weights)

    def constant(self, train: "Examples", examples: "Examples", spec: "Spec") -> Constant:
        """The mean of the training targets."""
        outputs = self.regressed(train, spec).mean(0)
        note = "always " + ", ".join(f"{value:.4g}" for value in np.ravel(self.answers(outputs[None], spec))[:5])
        return Constant("mean", np.broadcast_to(outputs.astype(np.float32), (len(examples), len(outputs))), note)

    def regressed(self, examples: "Examples", spec: "Spec") -> np.ndarray:
        """The targets in units of the scale, about the mean."""
        return (_columns(np.asarray(target_of(examples.arrays), np.float64)) - self.mean) / self.scale

    def outcomes(self, kept: Any, spec: "Spec") -> np.ndarray:
        """The squared error of each example, in the mean over columns, and its weight."""
        error = _columns(np.asarray(self.answers(kept["outputs"], spec))) - _columns(np.asarray(kept["targets"]))
        return np.stack([(error**2).mean(-1), np.asarray(kept.get("weights", np.ones(len(error))), np.float64)], 1)

    def statistic(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """RMSE."""
        return super().statistic(rows, counts) ** 0.5

    def mistakes(self, kept: Any, spec: "Spec", most: int) -> list[dict[str, Any]]:
        """The largest errors: ``row``, ``true``, ``predicted`` and ``error``, of the column that is furthest off."""
        targets = _columns(np.asarray(kept["targets"], np.float64))
        predicted = _columns(np.asarray(self.answers(kept["outputs"], spec)))
        off = np.abs(targets - predicted) / np.asarray(self.scale)
        found = []
        for n in np.argsort(-off.max(1), kind="stable")[:most].tolist():
            true, answer = float(targets[n, off[n].argmax()]), float(predicted[n, off[n].argmax()])
            found.append({"row": n, "true": true, "predicted": answer, "error": answer - true})
        return found

    def answers(self, outputs: np.ndarray, spec: "Spec") -> Any:
        """Predictions in the targets' units, in the outputs' shape, float64."""
        outputs = np.asarray(outputs, np.float64)
        predicted = np.asarray(self.mean) + np.asarray(self.scale) * _columns(outputs)
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def rows(self, outputs: np.ndarray, spec: "Spec") -> list[dict[str, Any]]:
        """``prediction``: a number, or a list of them."""
        return [{"prediction": answer.tolist()} for answer in self.answers(outputs, spec)]

    def to_json(self) -> dict[str, Any]:
        """What the training split told."""
        return {"mean": list(self.mean), "scale": list(self.scale), "standardize": self.standardize}


def _columns(values: Any) -> Any:
    return values[:, None] if values.ndim == 1 else values


_FARTHEST = 1e15
"""Standard deviations; sums of squares of more have no number in float32, which ends at 3e38."""


def _check_near(examples: "Examples", mean: np.ndarray, scale: np.ndarray, split: str, dataset: "Dataset") -> None:
    targets = _columns(np.asarray(target_of(examples.arrays), np.float64))
    off = np.abs(targets - mean) / scale
    if not (off > _FARTHEST).any():
        return
    row, column = divmod(int((off > _FARTHEST).argmax()), off.shape[1])
    there = dataset.places()[split][row] if dataset.places is not None else f"{dataset.name}, {split} row {row + 1}"
    raise DataError(
        f"{there}: the target {targets[row, column]:g} is {off[row, column]:.2g} standard deviations from the mean of "
        "the training targets: no error of it can be squared; mend it, or leave that row out"
    )

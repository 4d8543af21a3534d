"""What accuracy does not tell: each class by itself, how classes are confused, and how well scores rank."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.tasks import calibration
from rnnjax.tasks.base import Report
from rnnjax.tasks.confusion import save_confusion
from rnnjax.tasks.metrics import class_probabilities


def class_report(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None = None
) -> dict[str, Any]:
    """A split's report, every example counted once.

    Args:
      logits: ``[N, C]``; C = 1 is a single logit that means class 1 of two.
      labels: ``[N]`` integers in 0..len(class_names)-1.
      class_names: names of the classes in the order of their numbers.
      weights: ``[N]``, how much each example counts; None: all alike.

    Returns:
      JSON values: ``examples``, ``accuracy``, ``macro_f1`` (mean over the classes that occur in labels or
      predictions), ``weighted_f1`` (weighted by support), ``balanced_accuracy`` (mean recall of the classes that have
      examples), ``auc`` (area under the ROC curve; None unless there are two classes and both occur), ``macro_auc``
      (of more classes, the mean over each against the rest; None of two), ``ece`` and ``brier`` (see
      :mod:`rnnjax.tasks.calibration`), ``classes`` (``name``, ``precision``, ``recall``, ``f1``, ``support`` of each;
      what is 0 / 0 is 0) and ``confusion`` (counts, a row for each true class, a column for each predicted one).
    """
    probabilities = class_probabilities(logits)
    page = _by_class(probabilities.argmax(-1), labels, class_names, weights)
    classes = {name: page.pop(name) for name in ("classes", "confusion")}
    auc, two = area(logits, labels, weights), len(class_names) == 2
    calibrated = {
        "ece": calibration.error(probabilities, labels, weights),
        "brier": calibration.brier(probabilities, labels, weights),
    }
    areas = {"auc": auc if two else None, "macro_auc": None if two else auc}
    return {"examples": len(labels), **page, **areas, **calibrated, **classes}


def area(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """AUC of logits ``[N, C]``; of more than two classes, the mean over those that occur of each against the rest.

    None where no class can be ranked, since all examples that count are of one.
    """
    from rnnjax.tasks.compare import auc_of

    wide = max(logits.shape[-1], 2)
    every = scores(logits)[:, None] if wide == 2 else class_probabilities(logits)
    counted = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    found = [
        float(auc_of(np.stack([labels == c, every[:, column], counted], 1), np.ones((1, len(labels))))[0])
        for column, c in enumerate((1,) if wide == 2 else range(wide))
    ]
    found = [value for value in found if np.isfinite(value)]
    return float(np.mean(found)) if found else None


def _by_class(
    predicted: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None
) -> dict[str, Any]:
    """What of :func:`class_report` predicted classes ``[N]`` tell without logits."""
    classes = len(class_names)
    cells = np.asarray(labels, np.int64) * classes + predicted
    confusion = np.bincount(cells, weights, minlength=classes**2).reshape(classes, classes)
    hits, answered, support = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    precision, recall = _share(hits, answered), _share(hits, support)
    f1 = _share(2 * hits, answered + support)
    names = ("name", "precision", "recall", "f1", "support")
    columns = zip(class_names, *(part.tolist() for part in (precision, recall, f1, support)), strict=True)
    return {
        "accuracy": _mean(predicted == labels, weights),
        "macro_f1": _mean(f1[answered + support > 0]),
        "weighted_f1": _mean(f1, support),
        "balanced_accuracy": _mean(recall[support > 0]),
        "classes": [dict(zip(names, row, strict=True)) for row in columns],
        "confusion": confusion.tolist(),
    }


def _share(part: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Quotients by class; what is 0 / 0 is 0."""
    return np.divide(part, of, out=np.zeros(len(of)), where=of > 0)


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """A weighted mean; 0 where nothing counts."""
    total = len(values) if weights is None else np.sum(weights)
    return float(np.average(values, weights=weights)) if total else 0.0


def report(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None = None
) -> Report:
    """The report as a task gives it: F1 and, where there is one, AUC among the result's figures."""
    page = class_report(logits, labels, class_names, weights)
    values = [name for name in ("macro_f1", "weighted_f1", "auc") if page[name] is not None]
    found = _reported(page, class_names, values)
    curve = calibration.bins(class_probabilities(logits), labels, weights)

    def draw(path: Path, of: str) -> None:
        calibration.save_reliability(curve, path, f"{of}: calibration error {page['ece']:.2%}")

    return found._replace(figures={**found.figures, "reliability": draw})


def report_of_steps(
    predicted: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None = None
) -> Report:
    """The same of predicted classes ``[N]``, one for each of N steps; they rank nothing, so that there is no AUC."""
    page = {"steps": len(labels), **_by_class(predicted, labels, class_names, weights)}
    return _reported(page, class_names, ["macro_f1", "weighted_f1"])


def _reported(page: dict[str, Any], class_names: Sequence[str], values: Sequence[str]) -> Report:
    counts = np.array(page["confusion"])
    title = f"accuracy {page['accuracy']:.2%}, macro F1 {page['macro_f1']:.2%}"

    def draw(path: Path, of: str) -> None:
        save_confusion(counts, class_names, path, f"{of}: {title}")

    return Report({name: page[name] for name in values}, page, {"confusion": draw})


def scores(logits: np.ndarray) -> np.ndarray:
    """What ranks examples by class 1: the logit, since probabilities near 0 and 1 round to ties."""
    return logits[:, 0] if logits.shape[-1] == 1 else logits[:, 1] - logits[:, 0]

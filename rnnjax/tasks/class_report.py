"""What accuracy does not tell: each class by itself, how classes are confused, and how well scores rank."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
      predictions), ``weighted_f1`` (weighted by support), ``auc`` (area under the ROC curve; None unless there are
      two classes and both occur), ``classes`` (``name``, ``precision``, ``recall``, ``f1``, ``support`` of each;
      what is 0 / 0 is 0) and ``confusion`` (counts, a row for each true class, a column for each predicted one).
    """
    from sklearn import metrics  # a second of import that a run needs at its end only

    page = _by_class(class_probabilities(logits).argmax(-1), labels, class_names, weights)
    classes = {name: page.pop(name) for name in ("classes", "confusion")}
    ranked = len(class_names) == 2 and len(np.unique(labels)) == 2
    auc = float(metrics.roc_auc_score(labels, _scores(logits), sample_weight=weights)) if ranked else None
    return {"examples": len(labels), **page, "auc": auc, **classes}


def _by_class(
    predicted: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None
) -> dict[str, Any]:
    """What of :func:`class_report` predicted classes ``[N]`` tell without logits."""
    from sklearn import metrics

    numbers = np.arange(len(class_names))
    confusion = metrics.confusion_matrix(labels, predicted, labels=numbers, sample_weight=weights)
    zero: Any = 0.0  # scikit-learn's own type for it lacks the numbers that it takes
    by_class: Any = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=zero, sample_weight=weights
    )
    columns = zip(class_names, *(column.tolist() for column in by_class), strict=True)
    names = ("name", "precision", "recall", "f1", "support")
    occurring = confusion.sum(0) + confusion.sum(1) > 0
    return {
        "accuracy": float(np.average(predicted == labels, weights=weights)),
        "macro_f1": float(by_class[2][occurring].mean()),
        "weighted_f1": float(np.average(by_class[2], weights=by_class[3])),
        "classes": [dict(zip(names, row, strict=True)) for row in columns],
        "confusion": confusion.tolist(),
    }


def report(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None = None
) -> Report:
    """The report as a task gives it: F1 and, where there is one, AUC among the result's figures."""
    page = class_report(logits, labels, class_names, weights)
    return _reported(page, class_names, [name for name in ("macro_f1", "weighted_f1", "auc") if page[name] is not None])


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


def _scores(logits: np.ndarray) -> np.ndarray:
    """What ranks examples by class 1: the logit, since probabilities near 0 and 1 round to ties."""
    return logits[:, 0] if logits.shape[-1] == 1 else logits[:, 1] - logits[:, 0]

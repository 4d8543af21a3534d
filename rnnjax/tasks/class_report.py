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

    probabilities = class_probabilities(logits)
    predicted, numbers = probabilities.argmax(-1), np.arange(len(class_names))
    confusion = metrics.confusion_matrix(labels, predicted, labels=numbers, sample_weight=weights)
    zero: Any = 0.0  # scikit-learn's own type for it lacks the numbers that it takes
    by_class: Any = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=zero, sample_weight=weights
    )
    columns = zip(class_names, *(column.tolist() for column in by_class), strict=True)
    names = ("name", "precision", "recall", "f1", "support")
    occurring = confusion.sum(0) + confusion.sum(1) > 0
    ranked = len(class_names) == 2 and len(np.unique(labels)) == 2
    return {
        "examples": len(labels),
        "accuracy": float(np.average(predicted == labels, weights=weights)),
        "macro_f1": float(by_class[2][occurring].mean()),
        "weighted_f1": float(np.average(by_class[2], weights=by_class[3])),
        "auc": float(metrics.roc_auc_score(labels, _scores(logits), sample_weight=weights)) if ranked else None,
        "classes": [dict(zip(names, row, strict=True)) for row in columns],
        "confusion": confusion.tolist(),
    }


def report(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], weights: np.ndarray | None = None
) -> Report:
    """The report as a task gives it: F1 and, where there is one, AUC among the result's figures."""
    page = class_report(logits, labels, class_names, weights)
    values = {name: page[name] for name in ("macro_f1", "weighted_f1", "auc") if page[name] is not None}
    counts = np.array(page["confusion"])
    title = f"accuracy {page['accuracy']:.2%}, macro F1 {page['macro_f1']:.2%}"

    def draw(path: Path, of: str) -> None:
        save_confusion(counts, class_names, path, f"{of}: {title}")

    return Report(values, page, {"confusion": draw})


def _scores(logits: np.ndarray) -> np.ndarray:
    """What ranks examples by class 1: the logit, since probabilities near 0 and 1 round to ties."""
    return logits[:, 0] if logits.shape[-1] == 1 else logits[:, 1] - logits[:, 0]

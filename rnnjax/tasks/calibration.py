"""Whether probabilities mean what they say: of answers given with 80 %, about 80 % should be right."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

BINS = 15
"""Of equally many examples each."""
LEAST = 10
"""Examples in a part: of fewer, the share that is right is chance, and calibration looks worse than it is."""


class Bins(NamedTuple):
    """Answers in order of their probability, cut into parts of as many examples each.

    Attributes:
      confidence: mean probability of the answers in each part, ``[bins]``.
      right: share of them that are right.
      weight: how much each part counts; they add up to 1.
    """

    confidence: np.ndarray
    right: np.ndarray
    weight: np.ndarray


def bins(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> Bins:
    """The parts of probabilities ``[N, C]`` with labels ``[N]``: at most :data:`BINS`, each of :data:`LEAST` or more.

    Fewer examples than that are one part, and none are none.
    """
    counted = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    sure, right = probabilities.max(-1), probabilities.argmax(-1) == labels
    order = np.argsort(sure, kind="stable")
    order = order[counted[order] > 0]
    rows = np.array_split(order, min(BINS, max(1, len(order) // LEAST)))
    if not len(order):
        return Bins(np.zeros(0), np.zeros(0), np.zeros(0))
    means = [np.average(np.stack([sure, right], 1)[part], axis=0, weights=counted[part]) for part in rows]
    weight = np.array([counted[part].sum() for part in rows])
    confidence, share = np.array(means).T
    return Bins(confidence, share, weight / weight.sum())


def error(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Expected calibration error (Naeini et al. 2015) in bins of equal counts (Nixon et al. 2019); 0 of nothing."""
    found = bins(probabilities, labels, weights)
    return float((found.weight * np.abs(found.right - found.confidence)).sum())


def brier(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean squared distance of ``[N, C]`` to the true classes, summed over classes (Brier 1950): 0 to 2; 0 of nothing.

    Of two classes it is twice what scikit-learn's ``brier_score_loss`` gives by default for the second.
    """
    counted = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if not counted.sum():
        return 0.0
    distance = (probabilities**2).sum(-1) - 2 * probabilities[np.arange(len(labels)), labels] + 1
    return float(np.average(distance, weights=counted))


def save_reliability(found: Bins, path: Path, title: str) -> None:
    """Draws the share that is right over the probability that was given; on the diagonal, they agree."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 5.0), layout="constrained")
    axes = figure.subplots()
    low = min(0.5, *found.confidence, *found.right) if len(found.weight) else 0.0
    low = np.floor(10 * low) / 10
    axes.plot([low, 1], [low, 1], color="0.6", linestyle="--", label="as it should be")
    parts = f"{len(found.weight)} parts of equally many examples" if len(found.weight) > 1 else "all examples"
    axes.plot(found.confidence, found.right, marker="o", label=parts)
    axes.set(
        xlabel="probability of the answer", ylabel="share that is right", title=title, xlim=(low, 1), ylim=(low, 1.02)
    )
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize=8)  # points may lie anywhere within
    figure.savefig(path, dpi=120)

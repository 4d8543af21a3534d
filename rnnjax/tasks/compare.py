"""How sure a figure is, and whether two sets of answers to the same examples differ: intervals and paired tests.

A task says by :meth:`rnnjax.tasks.Task.outcomes` what each example adds to its figure, rows ``[N, K]``, and by
:meth:`rnnjax.tasks.Task.statistic` what the figure is where rows occur so and so often. A bootstrap (Efron 1979) draws
N of the N examples with replacement, again and again, with a seed that is always the same. Rows that are alike are
drawn together, as one multinomial variable, so that counts of a confusion matrix cost no more than its cells.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

DRAWS = 1000
"""Bootstrap samples."""

LEVEL = 0.95
"""Of every interval."""

_Z = 1.959963984540054  # the normal distribution's quantile of (1 + LEVEL) / 2
_BLOCK = 2**24
"""Counts that are in memory at once."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From rows ``[U, K]`` and how often each occurs, ``[draws, U]``, to a figure for each draw, ``[draws]``."""


def wilson(hits: float, examples: int) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), which stays within 0..1 and is no point at 0 or 1 either."""
    if not examples:
        return 0.0, 1.0
    share, square = hits / examples, _Z**2
    middle = (share + square / (2 * examples)) / (1 + square / examples)
    half = _Z * math.sqrt(share * (1 - share) / examples + square / (4 * examples**2)) / (1 + square / examples)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The exact test of McNemar (1947): two-sided p of as uneven a split of the examples that one alone has right.

    Args:
      ours, theirs: ``[N]`` booleans, whether each example was answered rightly.
    """
    from scipy.special import bdtr

    one, other = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    return float(min(1.0, 2 * bdtr(min(one, other), one + other, 0.5))) if one + other else 1.0


def interval(statistic: Statistic, rows: np.ndarray) -> tuple[float, float]:
    """The bootstrap's percentile interval of a figure of rows ``[N, K]``.

    NaN where it is never defined, and where all draws are alike, as of examples that are all right: no draw of them
    shows how often others would be wrong.
    """
    cells, counts = _grouped(rows)
    values = np.concatenate([statistic(cells, drawn) for drawn in _draws(counts)])
    finite = values[np.isfinite(values)]
    if not len(finite) or np.ptp(finite) < 1e-12 * max(1.0, np.abs(finite).max()):
        return math.nan, math.nan
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired(statistic: Statistic, ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p of a difference between two figures of the same examples, by a bootstrap over the examples.

    Args:
      statistic: of one's rows.
      ours, theirs: ``[N, K]`` each, a row an example, in the same order.
    """
    cells, counts = _grouped(np.concatenate([ours, theirs], 1))
    first, second = cells[:, : ours.shape[1]], cells[:, ours.shape[1] :]
    made = [statistic(first, drawn) - statistic(second, drawn) for drawn in _draws(counts)]
    differences = np.concatenate(made)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return math.nan
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(differences) + 1)))


def weighted_mean(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of column 0 by draw, by the weights in column 1 where there is one."""
    weights = rows[:, 1] if rows.shape[1] > 1 else np.ones(len(rows))
    total = counts @ weights
    return np.divide(counts @ (weights * rows[:, 0]), total, out=np.full(len(total), np.nan), where=total > 0)


def f1_of(hits: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """F1 in the mean over the classes that occur, ``[draws]`` of counts by class ``[draws, C]``; 0 of none."""
    shown = predicted + gold
    f1 = np.divide(2 * hits, shown, out=np.zeros_like(shown), where=shown > 0)
    return f1.sum(1) / np.maximum((shown > 0).sum(1), 1)


def recall_of(hits: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Recall in the mean over the classes that have examples: balanced accuracy."""
    recall = np.divide(hits, gold, out=np.zeros_like(gold), where=gold > 0)
    return recall.sum(1) / np.maximum((gold > 0).sum(1), 1)


def by_class(rows: np.ndarray, counts: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, predicted and true examples by class, ``[draws, C]``, of rows ``(label, predicted, weight)``."""
    from scipy.sparse import csr_matrix

    labels, predicted, weights = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2]
    places = np.arange(len(rows))

    def total(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.asarray(counts @ csr_matrix((values, (places, columns)), (len(rows), classes)), np.float64)

    return total(weights * (labels == predicted), labels), total(weights, predicted), total(weights, labels)


def auc_of(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, ``[draws]``, of rows ``(label, score, weight)``; NaN where a draw has one class only.

    It is the share of pairs of a positive and a negative that the score puts in the right order; ties count half.
    """
    order = np.argsort(rows[:, 1], kind="stable")
    labels, scores, weights = rows[order, 0] > 0.5, rows[order, 1], rows[order, 2]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    weighed = counts[:, order] * weights
    positive = np.add.reduceat(np.where(labels, weighed, 0.0), starts, axis=1)
    negative = np.add.reduceat(np.where(labels, 0.0, weighed), starts, axis=1)
    below = np.cumsum(negative, 1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    right = (positive * below).sum(1)
    return np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _grouped(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows ``[U, K]`` and how often each occurs ``[U]``."""
    cells, counts = np.unique(np.asarray(rows, np.float64), axis=0, return_counts=True)
    return cells, counts


def _draws(counts: np.ndarray) -> Iterator[np.ndarray]:
    """How often each row occurs in each bootstrap sample: blocks of ``[draws, U]``."""
    rng, examples, cells = np.random.default_rng(0), int(counts.sum()), len(counts)
    few = 4 * cells <= examples
    block = min(DRAWS, max(1, _BLOCK // (cells if few else examples)))
    of_example = None if few else np.repeat(np.arange(cells), counts)
    for start in range(0, DRAWS, block):
        size = min(block, DRAWS - start)
        if of_example is None:
            yield rng.multinomial(examples, counts / examples, size).astype(np.float64)
            continue
        drawn = of_example[rng.integers(examples, size=(size, examples))] + cells * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * cells).reshape(size, cells).astype(np.float64)

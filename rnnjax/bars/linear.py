"""Linear models by scikit-learn, their settings chosen on validation, and the sample that a bar can afford."""

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from rnnjax.bars.base import Asked, judged

_FAR = 1e3
"""A logit that decides."""

_FEWEST = 1000
"""Examples that a bar learns from, where there are so many."""


class Chosen(NamedTuple):
    """The best of several settings.

    Attributes:
      setting, model: the best, and what it made.
      tried: all that were tried, with their scores.
    """

    setting: Any
    model: Any
    tried: list[tuple[Any, float]]


def by_validation(
    settings: Iterable[Any],
    fit: Callable[[Any], Any],
    score: Callable[[Any], float],
    until: float = float("inf"),
) -> Chosen:
    """Fits one model for each setting and keeps the first of the best.

    Args:
      settings: in the order in which they are tried.
      fit: makes a model.
      score: of a model on the validation split; more is better.
      until: the time, by :func:`time.monotonic`, after which no further setting is tried.
    """
    best: tuple[float, Any, Any] | None = None
    tried = []
    for setting in settings:
        if best is not None and time.monotonic() > until:
            break
        model = fit(setting)
        value = score(model)
        tried.append((setting, value))
        if best is None or value > best[0]:
            best = value, setting, model
    assert best is not None, "there must be a setting"
    return Chosen(best[1], best[2], tried)


def on_validation(outputs: np.ndarray, asked: Asked) -> float:
    """How good outputs for the validation split are, by the figure that is compared; more is better."""
    bar = judged("", outputs, asked._replace(split="validation"))
    return asked.task.compared.score(bar.metrics[asked.task.compared.name])


def exclusive(columns: np.ndarray) -> bool:
    """Whether targets ``[N, C]`` of 1 and -1 name one class an example."""
    return bool(((columns > 0).sum(1) == 1).all())


def signs(columns: np.ndarray | None) -> bool:
    """Whether targets are classes, 1 or -1 in each column, and no numbers."""
    return columns is not None and bool(np.isin(columns, (-1.0, 1.0)).all())


def two_sided(score: np.ndarray) -> np.ndarray:
    """Logits ``[N, 2]`` whose difference is ``score [N]``."""
    return np.stack([-score / 2, score / 2], 1)


def logistic(features: Any, columns: np.ndarray, c: float) -> Callable[[Any], np.ndarray]:
    """Logistic regression with an L2 penalty.

    Args:
      features: ``[N, F]``, sparse or not.
      columns: ``[N, C]`` of 1 and -1: one class an example, or in each column yes or no.
      c: inverse strength of the penalty.

    Returns:
      From features to logits ``[N, C]``.
    """
    if exclusive(columns) and columns.shape[1] > 2:
        model, classes = _fitted(features, columns.argmax(1), c), columns.shape[1]
        if model is None:
            return lambda x: np.tile(_FAR * columns[0], (x.shape[0], 1))

        def several(x: Any) -> np.ndarray:
            scores = np.full((x.shape[0], classes), -_FAR)
            made = model.decision_function(x)
            scores[:, model.classes_] = two_sided(made) if made.ndim == 1 else made
            return scores

        return several
    if exclusive(columns) and columns.shape[1] == 2:
        kernel, bias = binary(features, columns[:, 1], c)
        return lambda x: two_sided(x @ kernel + bias)
    each = [binary(features, column, c) for column in columns.T]
    return lambda x: np.stack([x @ kernel + bias for kernel, bias in each], 1)


def binary(features: Any, column: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """Weights ``[F]`` and bias of a logistic regression for a column ``[N]`` of 1 and -1."""
    model = _fitted(features, column > 0, c)
    if model is None:
        return np.zeros(features.shape[1]), float(_FAR * column[0])
    return model.coef_[0], float(model.intercept_[0])


def _fitted(features: Any, labels: np.ndarray, c: float) -> Any:
    """A fitted model; None where there is one class only. It need not be at its optimum to the last digit."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, max_iter=200, tol=1e-3).fit(features, labels)


def sample(examples: int, most: float) -> np.ndarray | None:
    """Numbers of so many examples, rising, always the same; None: all are.

    A bar of a few examples would be none: 1,000 are taken whatever they cost.
    """
    number = int(max(most, min(examples, _FEWEST)))
    if number >= examples:
        return None
    return np.sort(np.random.default_rng(0).permutation(examples)[:number])


def sampled(rows: np.ndarray | None, examples: int) -> str:
    """What a user should know of a sample; nothing where there is none."""
    return "" if rows is None else f"trained on {len(rows):,} of {examples:,} examples, to stay within its time"

"""Classes that are not alike frequent: what weighs them alike, and when that matters."""

from typing import Any

import numpy as np

UNEVEN = 2 / 3
"""Share of the most frequent class above which always saying it looks good."""


def class_weights(optim: Any, labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """The factors of the training loss that an optimizer's section asks for; empty: it asks for none.

    Args:
      optim: with ``class_weights``, see :class:`rnnjax.OptimConfig`.
      labels: of the training split, ``[N]``.
      classes: how many there are.
    """
    return balanced(labels, classes) if getattr(optim, "class_weights", "none") == "balanced" else ()


def balanced(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Inverse frequencies, ``N / (classes * count)``, whose mean over the examples is 1 (King and Zeng 2001).

    A class without an example has the factor 1; it counts for nothing in the number of classes.
    """
    counts = np.bincount(np.asarray(labels), minlength=classes)
    there = max(int((counts > 0).sum()), 1)
    return tuple(float(len(labels) / (there * count)) if count else 1.0 for count in counts)


def most_frequent(labels: np.ndarray) -> tuple[int, float]:
    """The most frequent class, and its share."""
    counts = np.bincount(np.asarray(labels))
    return int(counts.argmax()), float(counts.max() / counts.sum())

"""Labels: the numbers of classes, an integer an example."""

from typing import Any

import numpy as np

from rnnjax.errors import DataError


def check_labels(labels: Any) -> None:
    """One integer an example: of any other shape, broadcasting would make a wrong accuracy without an error.

    Raises:
      DataError: if they are anything else.
    """
    if not hasattr(labels, "dtype"):
        raise DataError(f"labels must be an array [N] of integers, got a {type(labels).__name__}")
    shape = np.shape(labels)
    if len(shape) != 1:
        raise DataError(f"labels must be one integer an example, [N], got {list(shape)}{_hint(labels)}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be integers, got {labels.dtype}")


def _hint(labels: Any) -> str:
    """What to do with labels of more axes than one: integers that are not one-hot are classes of steps, or tokens."""
    if labels.ndim != 2:
        return ""
    if labels.shape[1] == 1:
        return "; take labels[:, 0]"
    one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all()
    if np.issubdtype(labels.dtype, np.integer) and not one_hot:
        return "; a class at each step is for task=rnnjax.PerStep(), and the token that follows for rnnjax.NextToken()"
    return "; take labels.argmax(-1)"


def check_classes(dataset: Any) -> None:
    """Raises DataError if a label of a data set lies outside its classes, or the training split has fewer than two."""
    names = dataset.spec.names
    for split, examples in dataset.splits().items():
        if "labels" not in examples.arrays and "targets" in examples.arrays:
            check_labels(examples["targets"])  # which says what it is that makes them none
        if "labels" not in examples.arrays:
            raise DataError(
                f"{dataset.name}: classification needs labels, an integer an example; {split} has "
                f"{', '.join(examples.arrays)}"
            )
        labels = examples["labels"]
        check_labels(labels)
        if not names:
            got = f"{int(labels.min())}..{int(labels.max())}"
            raise DataError(f"{dataset.name}: labels must be numbers of classes from 0 up, got {got}")
        outside = (labels < 0) | (labels >= len(names))
        if outside.any():
            row = int(outside.argmax())
            raise DataError(
                f"{dataset.name}: label {int(labels[row])} of example {row} in {split} lies outside the "
                f"{len(names)} classes 0..{len(names) - 1}"
            )
    if len(np.unique(dataset.train["labels"])) < 2:
        raise DataError(f"{dataset.name}: the training split has one class only; a classifier needs two")

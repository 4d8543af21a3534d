"""What a user should know of a data set's examples, whatever they are: empty classes, and examples that occur twice."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.tokens import UNKNOWN

_MOST_BYTES = 2**31
"""Larger splits are not searched for repeated examples: that would take longer than a glance."""
_ROWS = 4096
_SHOWN = 5


def notes(dataset: Dataset) -> list[str]:
    """Notes, a sentence each. They change nothing: no example is left out."""
    return [*_empty_classes(dataset), *_repeated(dataset)]


def _empty_classes(dataset: Dataset) -> Iterator[str]:
    names = dataset.class_names
    counts = np.bincount(dataset.train.labels, minlength=len(names))
    empty = [names[int(number)] for number in np.flatnonzero(counts == 0)]
    if empty:
        shown = ", ".join(map(repr, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
        yield f"{len(empty):,} of {len(names):,} classes have no training example: {shown}"


def _repeated(dataset: Dataset) -> Iterator[str]:
    splits = {"validation": dataset.validation, "test": dataset.test}
    if any(split.streamed or split.nbytes > _MOST_BYTES for split in (dataset.train, *splits.values())):
        return
    what = "examples" if dataset.train.lengths is None else "documents"
    again = "" if dataset.train.lengths is None else ", token for token"
    trained = Counter(_digests(dataset.train))
    found = []
    for name, split in splits.items():
        count = sum(digest in trained for digest in _digests(split))
        if count:
            found.append(f"{count:,} of {len(split):,} {name} {what} are also training {what}")
    count = sum(number for number in trained.values() if number > 1)
    if count:
        found.append(f"{count:,} of {len(dataset.train):,} training {what} occur more than once")
    if found:
        yield "; ".join(found) + again


def _digests(examples: Examples) -> Iterator[bytes]:
    """A digest of each input as it is stored; none of a document of unknown tokens alone, which may be any."""
    for start in range(0, len(examples), _ROWS):
        part = np.asarray(examples.inputs[start : start + _ROWS])
        part = np.ascontiguousarray(part.reshape(len(part), -1))
        if examples.lengths is not None:
            part = part[(part > UNKNOWN).any(1)]
        for row in part:
            yield hashlib.sha256(row).digest()

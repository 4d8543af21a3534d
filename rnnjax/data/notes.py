"""What a user should know of a data set's examples, whatever they are: empty classes, and examples that occur twice."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.plan import Streams
from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import DataError

_MOST_BYTES = 2**31
"""Larger splits are not searched for repeated examples: that would take longer than a glance."""
_ROWS = 4096
_SHOWN = 5


def with_notes(section: Any) -> Dataset:
    """What a section of the configuration loads, with :func:`notes`; raises DataError if that is no data set."""
    dataset = section.load()
    if not isinstance(dataset, Dataset):
        raise DataError(f"{type(section).__name__}.load() must give an rnnjax.data.Dataset, got {dataset!r:.80}")
    return dataclasses.replace(dataset, notes=(*dataset.notes, *notes(dataset)))


def notes(dataset: Dataset) -> list[str]:
    """Notes, a sentence each. They change nothing: no example is left out."""
    return [*_empty_classes(dataset), *_of_one_class(dataset), *_repeated(dataset)]


def _empty_classes(dataset: Dataset) -> Iterator[str]:
    names = dataset.spec.names
    if not names or "labels" not in dataset.train.arrays:
        return
    labels = dataset.train["labels"]
    counts = np.bincount(labels[labels >= 0], minlength=len(names))[: len(names)]  # others are refused by the task
    empty = [names[int(number)] for number in np.flatnonzero(counts == 0)]
    if empty:
        shown = ", ".join(map(repr, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
        yield f"{len(empty):,} of {len(names):,} classes have no training example: {shown}"


def _of_one_class(dataset: Dataset) -> Iterator[str]:
    names = dataset.spec.names
    for split, examples in dataset.splits().items():
        if split == "train" or "labels" not in examples.arrays or len(names) < 2 or len(examples) < 2:
            continue
        labels = examples["labels"]
        there = np.unique(labels[labels >= 0])
        if len(there) == 1:
            name = names[int(there[0])]
            yield f"{split} has {name!r} alone, of {len(names):,} classes: whoever always answers that is right there"


def _repeated(dataset: Dataset) -> Iterator[str]:
    splits = dataset.splits()
    if any(split.encoded or split.uncut or split.nbytes > _MOST_BYTES for split in splits.values()):
        return  # windows into a series overlap, and what it repeats it repeats at other times
    splits.pop("train")
    if isinstance(dataset.plan, Streams):
        return  # its rows are cut at any token of a text, and what the text repeats is cut elsewhere
    texts = dataset.train.lengths is not None and dataset.preprocess.rows == "examples"
    what, again = ("documents", ", token for token") if texts else (dataset.preprocess.rows, "")
    inputs = [name for name in dataset.train.arrays if name in dataset.spec.inputs]
    trained = Counter(_digests(dataset.train, inputs))
    found = []
    for name, split in splits.items():
        count = sum(digest in trained for digest in _digests(split, inputs))
        if count:
            found.append(f"{count:,} of {len(split):,} {name} {what} are also training {what}")
    count = sum(number for number in trained.values() if number > 1)
    if count:
        found.append(f"{count:,} of {len(dataset.train):,} training {what} occur more than once")
    if found:
        yield "; ".join(found) + again


def _digests(examples: Examples, inputs: Sequence[str]) -> Iterator[bytes]:
    """A digest of each input as it is stored; none of a document of unknown tokens alone, which may be any."""
    for start in range(0, len(examples), _ROWS):
        parts = [np.asarray(examples[name][start : start + _ROWS]) for name in inputs]
        parts = [np.ascontiguousarray(part.reshape(len(part), -1)) for part in parts]
        tokens = examples.lengths is not None and len(parts) == 1 and parts[0].dtype.kind in "iu"
        known = (parts[0] > UNKNOWN).any(1) if tokens else np.ones(len(parts[0]), bool)
        for row in np.flatnonzero(known):
            digest = hashlib.sha256()
            for part in parts:
                digest.update(part[row])
            yield digest.digest()

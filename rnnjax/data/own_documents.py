"""A data set of a user's own labelled documents: classes, splits, and what a user should know of them."""

import dataclasses
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rnnjax.data import tokenized
from rnnjax.data.document_files import Table, read
from rnnjax.data.documents import TextTable
from rnnjax.data.examples import Dataset
from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import DataError, UsageError

_SAMPLES = 5


def load(config: TextTable) -> Dataset:
    """Reads the documents that a configuration names; its classes are the labels, sorted by name.

    Raises:
      UsageError: if it names none.
      DataError: if they cannot be read, or are too few to train and test on.
    """
    if not config.path:
        raise UsageError("say where your documents are: --data.path FILE.csv (or .tsv, .jsonl, or a folder)")
    path = Path(config.path).expanduser()
    train = read(path, config.text_column, config.label_column)
    names = _classes(train, least=2 if config.test_path else 3)
    labels = _numbers(train, names, train)
    if config.test_path:
        test = read(Path(config.test_path).expanduser(), config.text_column, config.label_column)
        given = {"train": (train.documents, labels), "test": (test.documents, _numbers(test, names, train))}
        notes = train.notes + test.notes
    else:
        kept, cut = tokenized.cut((train.documents, labels), _fraction(config.test_fraction, len(labels), len(names)))
        given, notes = {"train": kept, "test": cut}, train.notes
    fraction = _fraction(config.validation_fraction, len(given["train"][1]), len(names))
    dataset = tokenized.dataset(
        path.resolve().name,
        dataclasses.replace(config, validation_fraction=fraction),
        names,
        source={"documents": {split: _digest(*documents) for split, documents in given.items()}},
        read=lambda: given,
    )
    samples = [" ".join(document.split())[:1000] for document in given["test"][0] if document.strip()]
    return dataclasses.replace(dataset, notes=(*notes, *_unknown(dataset)), sample_texts=tuple(samples[:_SAMPLES]))


def _classes(table: Table, least: int) -> list[str]:
    counts = Counter(table.labels)
    if len(counts) < 2:
        raise DataError(f"{table.path}: one class only, {table.labels[0]!r}; a classifier needs two")
    rare = min(counts, key=lambda name: (counts[name], name))
    if counts[rare] < least:
        parts = "training and validation" if least == 2 else "training, validation and test"
        raise DataError(
            f"{table.places[table.labels.index(rare)]}: the class {rare!r} has {counts[rare]} of "
            f"{len(table.labels)} documents, and {parts} need one each; add some, or leave the class out"
        )
    return sorted(counts)


def _numbers(table: Table, names: Sequence[str], train: Table) -> np.ndarray:
    number = {name: i for i, name in enumerate(names)}
    for place, label in zip(table.places, table.labels, strict=True):
        if label not in number:
            near = difflib.get_close_matches(label, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the classes are {', '.join(map(repr, names[:10]))}"
            raise DataError(f"{place}: the label {label!r} does not occur in {train.path}, which is trained on; {hint}")
    return np.array([number[label] for label in table.labels], np.int32)


def _fraction(wanted: float, examples: int, classes: int) -> float:
    """At least as much as gives every class a place in the smaller part."""
    return max(wanted, classes / examples)


def _digest(documents: Iterable[str], labels: np.ndarray) -> str:
    digest = hashlib.sha256(labels.tobytes())
    for document in documents:
        encoded = document.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _unknown(dataset: Dataset) -> list[str]:
    """Notes of documents without a known token, and a refusal where no training document has any."""
    if not dataset.train.lengths.any():  # pyright: ignore[reportOptionalMemberAccess]
        raise DataError(f"{dataset.name}: no training document holds a word")
    notes = []
    for split in ("validation", "test"):
        examples = getattr(dataset, split)
        count = int(((examples.lengths > 0) & (examples["inputs"] <= UNKNOWN).all(-1)).sum())
        if count:
            notes.append(f"{count:,} of {len(examples):,} {split} documents hold no token of the vocabulary")
    return notes

"""A data set of a user's own labelled documents: classes, splits, and what a user should know of them."""

import dataclasses
import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from rnnjax.data import text_facts, tokenized
from rnnjax.data.document_files import Texts, all_of, read
from rnnjax.data.document_folders import split_paths
from rnnjax.data.documents import TextTable
from rnnjax.data.examples import Dataset
from rnnjax.data.grouped import groups_of, hold_out_groups
from rnnjax.data.text_columns import Reading
from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import DataError, UsageError

_SAMPLES = 5


def load(config: TextTable) -> Dataset:
    """Reads the documents that a configuration names; its classes are the labels, sorted by name.

    Raises:
      UsageError: if it names none.
      DataError: if they cannot be read, or are too few to train and test on.
    """
    given = _given(config)
    train = given["train"]
    names = _classes(train, least=1 + ("test" not in given) + ("validation" not in given))
    text_facts.check_varied(train)
    rows, groups, fraction = _rows(config, given, names)
    tokenizer = _tokenizer(config, train)
    said = _understood(given, names, groups, characters=tokenizer != config.tokenizer)
    config = dataclasses.replace(config, validation_fraction=fraction, tokenizer=tokenizer)
    splits = {split: _taken(texts, names, train, rows.get(split)) for split, texts in _sources(given).items()}
    documents = {split: (texts, labels) for split, (texts, labels, _) in splits.items()}
    dataset = tokenized.dataset(
        train.path.resolve().name,
        config,
        names,
        source={"documents": {split: _digest(*part) for split, part in documents.items()}, "counted": True},
        read=lambda: documents,
        reading=train.reading,
    )
    samples = [document for document in documents["test"][0] if document.strip()]
    return dataclasses.replace(
        dataset,
        notes=(*all_of(list(given.values()), "notes"), *text_facts.notes(train), *_unknown(dataset)),
        sample_texts=tuple(" ".join(document.split())[:1000] for document in samples[:_SAMPLES]),
        understood=(*said, _split_line(given, dataset), *dataset.understood),
        places=lambda: {split: places for split, (_, _, places) in splits.items()},
    )


def _given(config: TextTable) -> dict[str, Texts]:
    """The documents of each split that has a place of its own; ``train`` among them."""
    if not config.path:
        raise UsageError("say where your documents are: --data.path FILE.csv (or .tsv, .jsonl, .parquet, or a folder)")
    header = {"yes": True, "no": False}.get(config.header)
    reading = Reading(
        config.text_column, config.label_column, config.group_column, config.delimiter, config.encoding, header
    )
    try:
        paths = split_paths(Path(config.path).expanduser())
    except OSError as error:
        raise DataError(f"{error.filename or config.path}: {error.strerror or error}") from error
    if config.test_path:
        if "test" in paths:
            raise UsageError(f"{paths['test']} and --data.test-path are both to test on; leave one out")
        paths["test"] = Path(config.test_path).expanduser()
    return {split: read(path, reading) for split, path in paths.items()}


def _classes(table: Texts, least: int) -> list[str]:
    counts = Counter(table.labels)
    if len(counts) < 2:
        raise DataError(f"{table.path}: one class only, {table.labels[0]!r}; a classifier needs two")
    rare = min(counts, key=lambda name: (counts[name], name))
    if counts[rare] < least:
        if text_facts.looks_measured(counts):
            raise DataError(f"{table.path}: {text_facts.measured(counts)}")
        parts = {2: "training and another split", 3: "training, validation and test"}[least]
        raise DataError(
            f"{table.places[table.labels.index(rare)]}: the class {rare!r} has {counts[rare]} of "
            f"{len(table.labels)} documents, and {parts} need one each; add some, or leave the class out"
        )
    return sorted(counts)


def _rows(
    config: TextTable, given: Mapping[str, Texts], names: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """Which rows of what is given to train on are in each split that is cut from it.

    Returns:
      Row numbers by split; the group of each row; and the share of validation as it was taken.
    """
    train = given["train"]
    labels = _numbers(train, names, train)
    keys = [train.keys, *([train.groups] if train.groups else [])]
    groups, rest, rows, fraction = groups_of(*keys), np.arange(len(labels)), {}, config.validation_fraction
    for split in ("test", "validation"):
        if split in given:
            continue
        fraction = config.test_fraction if split == "test" else config.validation_fraction
        # At least as much as gives every class a place in the smaller part.
        fraction = max(fraction, len(names) / len(rest))
        try:
            kept, held = hold_out_groups(labels[rest], groups[rest], fraction, names, of="text")
        except DataError as error:
            raise DataError(f"{train.path}: no {split} split can be cut: {error}") from error
        rows[split], rest = rest[held], rest[kept]
    return rows | {"train": rest}, groups, fraction


def _sources(given: Mapping[str, Texts]) -> dict[str, Texts]:
    """Which documents each of the three splits is of."""
    return {split: given.get(split, given["train"]) for split in tokenized.SPLITS}


def _taken(
    texts: Texts, names: Sequence[str], train: Texts, rows: np.ndarray | None
) -> tuple[list[str], np.ndarray, list[str]]:
    """Documents, labels and places of a split; ``rows`` None: all."""
    labels = _numbers(texts, names, train)
    if rows is None:
        return texts.documents, labels, texts.places
    return [texts.documents[i] for i in rows], labels[rows], [texts.places[i] for i in rows]


def _numbers(table: Texts, names: Sequence[str], train: Texts) -> np.ndarray:
    known = f"does not occur in {train.path}, which is trained on"
    return class_numbers(table, names, known)


def class_numbers(table: Texts, names: Sequence[str], unknown: str) -> np.ndarray:
    """The number of each label among the classes; raises DataError at one that is none of them.

    Args:
      table: the documents.
      names: of the classes.
      unknown: what the error says of another label.
    """
    number = {name: i for i, name in enumerate(names)}
    for place, label in zip(table.places, table.labels, strict=True):
        if label not in number:
            near = difflib.get_close_matches(label, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the classes are {', '.join(map(repr, names[:10]))}"
            raise DataError(f"{place}: the label {label!r} {unknown}; {hint}")
    return np.array([number[label] for label in table.labels], np.int32)


def _tokenizer(config: TextTable, train: Texts) -> str:
    if config.spaceless_characters and config.tokenizer == "plain-words" and text_facts.spaceless(train.documents):
        return "characters"
    return config.tokenizer


def _digest(documents: Iterable[str], labels: np.ndarray) -> str:
    digest = hashlib.sha256(labels.tobytes())
    for document in documents:
        encoded = document.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _understood(given: Mapping[str, Texts], names: Sequence[str], groups: np.ndarray, *, characters: bool) -> list[str]:
    """What was found out of the documents, a line each."""
    train, said = given["train"], all_of(list(given.values()), "understood")
    said.append(text_facts.classes(names, Counter(train.labels)))
    texts, rows = text_facts.copies(train)
    if texts:
        alone = {"test", "validation"} <= set(given)
        where = "" if alone else ", and the copies of one are in one split"
        said.append(f"{texts:,} text{'s occur' if texts > 1 else ' occurs'} more than once, in {rows:,} rows{where}")
    if train.groups is not None:
        said.append(f"{len(np.unique(groups)):,} groups by {train.reading.group_column!r}, each in one split")
    if characters:
        said.append(
            "most texts have no spaces between words and are read as characters "
            "(--data.tokenizer words reads them as words all the same)"
        )
    return said


def _split_line(given: Mapping[str, Texts], dataset: Dataset) -> str:
    counted = ", ".join(f"{split} {len(examples):,}" for split, examples in dataset.splits().items())
    cut = [split for split in ("validation", "test") if split not in given]
    how = f"; {' and '.join(cut)} cut from train by class, the same way each time" if cut else ", each as it is given"
    return f"splits: {counted}{how}"


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

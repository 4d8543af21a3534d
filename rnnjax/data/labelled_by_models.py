"""Labelled documents beside others that models have labelled, or nobody: the data of semi-supervised training.

The others keep out of validation, of the test split and of what plain bars learn from. Each counts as its weight says,
a labelled document as 1 (Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method
for Deep Neural Networks"), and one that nobody has labelled as 0.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, cast

import numpy as np

from rnnjax import digests
from rnnjax.data import cache, label_record, shards, sources, tfds, tokens
from rnnjax.data.documents import SelfTrainingText
from rnnjax.data.examples import Dataset, Examples
from rnnjax.data.tables import read_table
from rnnjax.data.text_preprocess import TextPreprocess
from rnnjax.errors import DataError, UsageError

COLUMNS = ("row", "label", "weight")
"""Of a file of labels: the number of a document in its split, counted from 0, its class by name, and 0..1."""


def load(config: SelfTrainingText) -> Dataset:
    """The documents of :func:`rnnjax.data.sources.labelled_texts`, with others behind those that are trained on.

    Raises:
      UsageError: if no file of labels is named, or one that is not to be read.
      DataError: if it does not fit the split's documents, or was made of others, or those cannot be read.
    """
    if config.without_labels and config.labels_path:
        raise UsageError("give either --data.labels-path or --data.without-labels")
    if not config.labels_path and not config.without_labels:
        raise UsageError("name a file of labels by --data.labels-path; python -m experiments.imdb_together writes one")
    labelled = sources.labelled_texts(config)
    preprocess = cast("TextPreprocess", labelled.preprocess)  # as all documents have
    found = tfds.builder(config.name, config.data_dir)
    split = config.unlabelled_split
    shards.require(found, config.name, ("text",), (split,))
    content = {
        "kind": "unlabelled_text",
        **shards.fingerprint(found, (split,)),
        "vocabulary": preprocess.vocabulary.words,
        "tokenizer": [config.tokenizer, tokens.VERSION],
        "read": [preprocess.max_length, config.kept],
    }
    cached = cache.arrays(
        cache.folder(config.cache_dir), content, functools.partial(_encoded, found, split, preprocess)
    )
    if config.without_labels:
        notes, (others, line) = (), _without_labels(config, cached)
    else:
        others, line = _labelled(config, cached, preprocess)
        digest = functools.partial(_digest, config, found)
        notes = label_record.check(Path(config.labels_path), found.info.full_name, split, digest)
    splits = {name: _weighed(examples) for name, examples in labelled.splits().items()}
    splits["train"] = _joined(splits["train"], others)
    return dataclasses.replace(
        labelled, **splits, understood=(*labelled.understood, line), notes=(*labelled.notes, *notes)
    )


def _labelled(
    config: SelfTrainingText, cached: dict[str, np.ndarray], preprocess: TextPreprocess
) -> tuple[Examples, str]:
    """The documents that a file labels, and what is said of them."""
    rows, labels, weights = read_labels(Path(config.labels_path), preprocess.class_names)
    split, most = config.unlabelled_split, len(cached["lengths"])
    if rows.max() >= most:
        raise DataError(f"{config.labels_path} labels row {rows.max():,} of {split}, which has {most:,} documents")
    kept = weights > 0
    said = f"{kept.sum():,} of {len(rows):,} documents of {split} are trained on with labels by models, their weights"
    line = f"{said} {weights[kept].mean():.2f} in the mean"
    return _taken(cached, rows[kept], labels[kept], weights[kept]), line


def _without_labels(config: SelfTrainingText, cached: dict[str, np.ndarray]) -> tuple[Examples, str]:
    """All documents, which count as nothing where labels are asked, and what is said of them."""
    number = len(cached["lengths"])
    line = (
        f"{number:,} documents of {config.unlabelled_split} have no label: they count where none is needed "
        "(--optim.adversarial-by answers)"
    )
    return _taken(cached, np.arange(number), np.zeros(number, np.int32), np.zeros(number, np.float32)), line


def read_labels(path: Path, class_names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows ``[N]``, the numbers of their classes ``[N]`` int32 and their weights ``[N]`` float32.

    Raises:
      DataError: if the file is no table of :data:`COLUMNS`, or a value in it is none.
    """
    table = read_table(path)
    if missing := [column for column in COLUMNS if column not in table.columns]:
        raise DataError(f"{path} has no column {missing[0]!r}; a file of labels has {', '.join(COLUMNS)}")
    numbers = {name: number for number, name in enumerate(class_names)}
    rows, weights = (
        np.array([_number(path, name, value) for value in table.values[name]]) for name in ("row", "weight")
    )
    names = [str(value) for value in table.values["label"]]
    if strange := next((name for name in names if name not in numbers), None):
        raise DataError(f"{path}: {strange!r} is no class; they are {', '.join(class_names)}")
    if not len(rows):
        raise DataError(f"{path} labels no document")
    if (rows != rows.astype(np.int64)).any() or (rows < 0).any() or len(np.unique(rows)) < len(rows):
        raise DataError(f"{path}: the rows must be different whole numbers from 0 on")
    if (weights < 0).any() or (weights > 1).any() or not weights.any():
        raise DataError(f"{path}: the weights must be from 0 to 1, and not all 0")
    return rows.astype(np.int64), np.array([numbers[name] for name in names], np.int32), weights.astype(np.float32)


def _number(path: Path, column: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not np.isfinite(found):
        raise DataError(f"{path}: {value!r} in the column {column} is no number")
    return found


def _digest(config: SelfTrainingText, found: Any) -> str:
    """That of the unlabelled documents; kept in the cache, as reading all of them takes seconds."""
    split = config.unlabelled_split
    content = {"kind": "documents_digest", **shards.fingerprint(found, (split,))}

    def made() -> dict[str, np.ndarray]:
        digest = digests.of_documents(text for (text,) in tfds.texts(found, split))
        return {"digest": np.frombuffer(digest.encode("ascii"), np.uint8)}

    return bytes(cache.arrays(cache.folder(config.cache_dir), content, made)["digest"]).decode("ascii")


def _encoded(found: Any, split: str, preprocess: TextPreprocess) -> dict[str, np.ndarray]:
    return dict(preprocess.encode([text for (text,) in tfds.texts(found, split)]))


def _taken(cached: dict[str, np.ndarray], rows: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Examples:
    arrays = {"inputs": cached["inputs"][rows], "labels": labels, "weights": weights}
    return Examples(arrays, cached["lengths"][rows], ("inputs",))


def _weighed(examples: Examples) -> Examples:
    weights = np.ones(len(examples), np.float32)
    return dataclasses.replace(examples, arrays={**examples.arrays, "weights": weights})


def _joined(first: Examples, others: Examples) -> Examples:
    """Both, padded to the longer."""
    assert first.lengths is not None
    assert others.lengths is not None
    longest = max(part["inputs"].shape[1] for part in (first, others))
    inputs = [np.pad(part["inputs"], ((0, 0), (0, longest - part["inputs"].shape[1]))) for part in (first, others)]
    arrays = {name: np.concatenate([first[name], others[name]]) for name in ("labels", "weights")}
    lengths = np.concatenate([first.lengths, others.lengths])
    return Examples({"inputs": np.concatenate(inputs), **arrays}, lengths, first.timed)

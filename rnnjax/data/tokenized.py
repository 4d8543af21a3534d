"""From labelled documents to a data set of token ids, by way of the cache."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnjax.data import cache, named_groups
from rnnjax.data import tokens as text
from rnnjax.data.documents import TextData
from rnnjax.data.examples import Dataset, Examples, hold_out, labelled
from rnnjax.data.grouped import hold_out_any
from rnnjax.data.lengths import bucket_lengths
from rnnjax.data.plan import Plan
from rnnjax.data.text_columns import Reading
from rnnjax.data.text_preprocess import TextPreprocess
from rnnjax.data.tokens import TOKENIZERS, Vocabulary
from rnnjax.errors import DataError

Documents = tuple[Sequence[str], np.ndarray]
"""Documents and their labels ``[N]`` int32."""

SPLITS = ("train", "validation", "test")

LONGEST = {"words": 400, "plain-words": 400, "characters": 1600, "bytes": 1600}
"""The most tokens of a document that are kept where no bucket's length says so."""

_CALLED = {"words": "words", "plain-words": "words", "characters": "characters", "bytes": "bytes"}


def dataset(
    name: str,
    config: TextData,
    class_names: Sequence[str],
    *,
    source: Mapping[str, Any],
    read: Callable[[], Mapping[str, Documents]],
    reading: Reading | None = None,
    vocabulary: Callable[[], Vocabulary] | None = None,
) -> Dataset:
    """Tokenized documents; the validation split is cut from the training split, unless it is given.

    Without ``config.bucket_lengths`` the data set chooses its own, see :func:`bucket_lengths`.

    Args:
      name: of the data set.
      config: how documents become ids.
      class_names: names of the classes in the order of their numbers.
      source: what identifies the documents, as JSON values; with ``config`` it names the cached arrays.
      read: gives the documents of ``train`` and ``test``; called where the cache does not hold their ids.
      reading: how files of them are read, also for prediction.
      vocabulary: gives the vocabulary, where it is not that of the kept part of training; ``source`` tells which.
    """
    content = {
        "kind": "text",
        **source,
        "tokenizer": config.tokenizer,
        "tokenizer_version": text.VERSION,
        "vocabulary_size": config.vocabulary_size,
        "max_length": max_length(config),
        "validation_fraction": config.validation_fraction,
        **({} if config.kept == "both" else {"keep": config.kept}),
        **({} if config.validation_by == "rows" else {"by_names": named_groups.VERSION}),
    }
    cached = cache.arrays(cache.folder(config.cache_dir), content, lambda: _encoded(read(), config, vocabulary))
    known = Vocabulary(tuple(json.loads(bytes(cached["vocabulary"]))))
    preprocess = TextPreprocess(known, max_length(config), tuple(class_names), config.tokenizer, config.kept, reading)
    longest = max(int(cached[f"{split}_lengths"].max(initial=0)) for split in SPLITS)
    buckets = config.bucket_lengths or bucket_lengths(cached["train_lengths"], longest)
    train, validation, test = (_examples(cached, split, buckets[-1]) for split in SPLITS)
    rows = _fewer(train, config.train_documents)
    train = train if rows is None else train.take(rows)

    def documents() -> Mapping[str, Sequence[str]]:
        texts = {split: part[0] for split, part in three_splits(read(), config).items()}
        if rows is not None:
            texts["train"] = [texts["train"][int(row)] for row in rows]
        return texts

    return Dataset(
        name,
        train,
        validation,
        test,
        preprocess,
        plan=Plan(buckets),
        documents=documents,
        understood=(*_cut_by(config), *_lengths(cached, config)),
    )


def _fewer(train: Examples, count: int) -> np.ndarray | None:
    """The rows of so many of the training examples, by class; None where ``count`` is 0, and all are meant."""
    if not count:
        return None
    if count >= len(train):
        raise DataError(
            f"--data.train-documents {count:,} is not fewer than the {len(train):,} documents there are to train on"
        )
    try:
        return hold_out(train["labels"], count)[1]
    except DataError as error:
        raise DataError(f"--data.train-documents {count:,} of {len(train):,} documents: {error}") from error


def max_length(config: TextData) -> int:
    """The most tokens of a document that are kept."""
    return config.longest or LONGEST[config.tokenizer]


def three_splits(given: Mapping[str, Documents], config: TextData) -> dict[str, Documents]:
    """Train, validation and test from train and test; as they are, where all three are given."""
    if "validation" in given:
        return dict(given)
    kept, held = cut(given["train"], config)
    return {"train": kept, "validation": held, "test": given["test"]}


def cut(given: Documents, config: TextData) -> tuple[Documents, Documents]:
    """Documents without the part of them that validates, and that part, stratified by class.

    See :func:`rnnjax.data.examples.hold_out`, and of whole groups :mod:`rnnjax.data.named_groups`.
    """
    documents, labels = given
    if config.validation_by == "names":
        classes = [str(number) for number in range(int(labels.max()) + 1)]
        groups = named_groups.named_groups(documents)
        kept, held = hold_out_any(labels, groups, config.validation_fraction, classes)
    else:
        kept, held = hold_out(labels, config.validation_fraction)
    return ([documents[int(i)] for i in kept], labels[kept]), ([documents[int(i)] for i in held], labels[held])


def _cut_by(config: TextData) -> tuple[str, ...]:
    """A line on how validation was cut, where it was not by rows."""
    by_names = "validation is of whole groups of documents that share rare names"
    return (by_names,) if config.validation_by == "names" else ()


def _encoded(
    given: Mapping[str, Documents], config: TextData, own: Callable[[], Vocabulary] | None
) -> dict[str, np.ndarray]:
    """Ids, lengths and labels of all splits; the vocabulary is the given one, or of the kept part of training alone."""
    splits, tokenize = three_splits(given, config), TOKENIZERS[config.tokenizer]
    if own is not None:
        vocabulary = own()
    elif config.tokenizer == "bytes":
        vocabulary = Vocabulary.of_bytes()
    else:
        vocabulary = Vocabulary.fit(map(tokenize, splits["train"][0]), config.vocabulary_size)
    out = {"vocabulary": np.frombuffer(json.dumps(vocabulary.words).encode("ascii"), np.uint8)}
    for split, (documents, labels) in splits.items():
        ids, counts = vocabulary.encode_counted(map(tokenize, documents), max_length(config), config.kept)
        lengths = np.minimum(counts, max_length(config)).astype(np.int32)
        out |= {f"{split}_inputs": ids, f"{split}_lengths": lengths, f"{split}_labels": labels}
        out[f"{split}_counts"] = counts
    return out


def _lengths(cached: Mapping[str, np.ndarray], config: TextData) -> tuple[str, ...]:
    """A line on how long documents are, and how many are cut where; none of arrays that an earlier version cached."""
    if "train_counts" not in cached:
        return ()
    counts, most = np.concatenate([cached[f"{split}_counts"] for split in SPLITS]), max_length(config)
    said = f"lengths: median {int(np.median(counts)):,} {_CALLED[config.tokenizer]}, longest {int(counts.max()):,}"
    cut = int((counts > most).sum())
    if not cut:
        return (said,)
    head = most // 4
    both = f"the first {head:,} and the last {most - head:,}"
    kept = {"head": f"the first {most:,}", "tail": f"the last {most:,}"}.get(config.kept, both)
    return (f"{said}; of {cut:,} of {len(counts):,} only {kept} are read (--data.max-length, --data.keep)",)


def _examples(cached: Mapping[str, np.ndarray], split: str, longest: int) -> Examples:
    inputs, labels, lengths = (cached[f"{split}_{name}"] for name in ("inputs", "labels", "lengths"))
    return labelled(inputs[:, :longest], labels, lengths)

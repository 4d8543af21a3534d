"""From the documents of TFDS splits to windows of tokens, with the tokens that follow as targets."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rnnjax.data import cache, shards, tfds, tokens
from rnnjax.data.corpus import DocumentsCorpus
from rnnjax.data.examples import Dataset
from rnnjax.data.plan import Streams
from rnnjax.data.tokens import END_TOKEN, TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.data.windows import notes, windows
from rnnjax.errors import DataError


def load(config: DocumentsCorpus) -> Dataset:
    """The windows of documents in an order drawn once.

    Raises:
      DataError: if TFDS has no such documents, or a split has too few to be cut.
    """
    found = tfds.builder(config.name, config.data_dir)
    splits = (*config.train_splits, config.test_split)
    shards.require(found, config.name, ("text",), splits)
    content = {
        "kind": "documents_corpus",
        **shards.fingerprint(found, splits),
        "train_splits": config.train_splits,
        "test_split": config.test_split,
        "tokenizer": config.tokenizer,
        "tokenizer_version": tokens.VERSION,
        "vocabulary_size": config.vocabulary_size,
    }
    cached = cache.arrays(cache.folder(config.cache_dir), content, lambda: _encoded(found, config))
    vocabulary = Vocabulary(tuple(json.loads(bytes(cached["vocabulary"]))))
    name = found.info.full_name
    parts = _parts(cached, config, name)
    train, validation, test = (
        windows(parts[split], config.window, f"{name}: {split}") for split in ("train", "validation", "test")
    )
    return Dataset(
        name,
        train,
        validation,
        test,
        WindowPreprocess(vocabulary, config.window, config.tokenizer, config.direction == "backwards"),
        plan=Streams(),
        notes=tuple(notes(parts, refit=config.refit)),
        understood=tuple(_understood(parts, vocabulary)),
    )


def vocabulary_of(found: Any, splits: Sequence[str], tokenizer: str, size: int) -> Vocabulary:
    """The most frequent tokens of all documents of some splits, the end token behind each among them."""
    counts: Counter[str] = Counter()
    for split in splits:
        for (document,) in tfds.texts(found, split):
            counts.update(TOKENIZERS[tokenizer](document))
            counts[END_TOKEN] += 1
    words = Vocabulary.of_counts(counts, size).words
    # A small vocabulary may be full of what is more frequent than documents are.
    return Vocabulary(words if END_TOKEN in words else (*words[: max(size, UNKNOWN + 2) - 1], END_TOKEN))


def _encoded(found: Any, config: DocumentsCorpus) -> dict[str, np.ndarray]:
    """The ids of all tokens, with an end token behind each document, and the vocabulary."""
    vocabulary = vocabulary_of(found, config.train_splits, config.tokenizer, config.vocabulary_size)
    index = {token: number for number, token in enumerate(vocabulary.words)}

    def ids(splits: Iterable[str]) -> list[np.ndarray]:
        documents = (document for split in splits for (document,) in tfds.texts(found, split))
        read = ([*TOKENIZERS[config.tokenizer](document), END_TOKEN] for document in documents)
        return [np.fromiter((index.get(t, UNKNOWN) for t in tokens), np.int32, len(tokens)) for tokens in read]

    train, test = ids(config.train_splits), ids([config.test_split])
    return {
        "train": np.concatenate(train),
        "train_lengths": np.array([len(document) for document in train], np.int64),
        "test": np.concatenate(test),
        "test_lengths": np.array([len(document) for document in test], np.int64),
        "vocabulary": np.frombuffer(json.dumps(vocabulary.words).encode("ascii"), np.uint8),
    }


def _parts(cached: dict[str, np.ndarray], config: DocumentsCorpus, name: str) -> dict[str, np.ndarray]:
    """The ids ``[M]`` of each split, in the order in which they are read."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(cached["train_lengths"]))
    if len(order) < 2:
        raise DataError(f"{name} has one document to train on; two are needed, one of them to validate")
    held = round(len(order) * config.validation_fraction)
    if not 0 < held < len(order):
        raise DataError(
            f"{name} has {len(order):,} documents to train on, of which --data.validation-fraction "
            f"{config.validation_fraction:g} leaves none to validate; give a larger one"
        )
    tested = rng.permutation(len(cached["test_lengths"]))[: config.test_documents or None]
    chosen = {
        "train": ("train", order if config.refit else order[held:]),
        "validation": ("train", order[:held]),
        "test": ("test", tested),
    }
    return {part: _read(cached, split, rows, config) for part, (split, rows) in chosen.items()}


def _read(cached: dict[str, np.ndarray], split: str, rows: np.ndarray, config: DocumentsCorpus) -> np.ndarray:
    ids, ends = cached[split], np.cumsum(cached[f"{split}_lengths"])
    begins = ends - cached[f"{split}_lengths"]
    backwards = config.direction == "backwards"
    # Backwards too, the end token stands behind what is read.
    documents = (ids[begins[row] : ends[row] - 1] for row in rows)
    end = ids[ends[0] - 1 : ends[0]]
    return np.concatenate([part for document in documents for part in (document[::-1] if backwards else document, end)])


def _understood(parts: dict[str, np.ndarray], vocabulary: Vocabulary) -> Iterator[str]:
    end = vocabulary.words.index(END_TOKEN)
    for part, ids in parts.items():
        yield f"{part}: {int((ids == end).sum()):,} documents, {len(ids):,} tokens"

"""From labelled documents to a data set of token ids, by way of the cache."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnnjax import text
from rnnjax.config import TextData
from rnnjax.data import cache
from rnnjax.data.examples import Dataset, Examples, hold_out
from rnnjax.data.preprocess import TextPreprocess
from rnnjax.text import TOKENIZERS, Vocabulary

Documents = tuple[Sequence[str], np.ndarray]
"""Documents and their labels ``[N]`` int32."""

_SPLITS = ("train", "validation", "test")


def dataset(
    name: str,
    config: TextData,
    class_names: Sequence[str],
    *,
    source: Mapping[str, Any],
    read: Callable[[], Mapping[str, Documents]],
) -> Dataset:
    """Tokenized documents; the validation split is cut from the training split.

    Args:
      name: of the data set.
      config: how documents become ids.
      class_names: names of the classes in the order of their numbers.
      source: what identifies the documents, as JSON values; with ``config`` it names the cached arrays.
      read: gives the documents of ``train`` and ``test``; called where the cache does not hold their ids.
    """
    content = {
        "kind": "text",
        **source,
        "tokenizer": config.tokenizer,
        "tokenizer_version": text.VERSION,
        "vocabulary_size": config.vocabulary_size,
        "max_length": config.bucket_lengths[-1],
        "validation_fraction": config.validation_fraction,
    }
    cached = cache.arrays(cache.folder(config.cache_dir), content, lambda: _encoded(read(), config))
    vocabulary = Vocabulary(tuple(json.loads(bytes(cached["vocabulary"]))))
    preprocess = TextPreprocess(vocabulary, config.bucket_lengths[-1], tuple(class_names), config.tokenizer)
    return Dataset(name, preprocess=preprocess, **{split: _examples(cached, split) for split in _SPLITS})


def three_splits(given: Mapping[str, Documents], validation_fraction: float) -> dict[str, Documents]:
    """Train, validation and test from train and test."""
    documents, labels = given["train"]
    kept, held = hold_out(labels, validation_fraction)
    return {
        "train": ([documents[i] for i in kept], labels[kept]),
        "validation": ([documents[i] for i in held], labels[held]),
        "test": given["test"],
    }


def _encoded(given: Mapping[str, Documents], config: TextData) -> dict[str, np.ndarray]:
    """Ids, lengths and labels of all splits; the vocabulary comes from the kept part of training alone."""
    splits, tokenize = three_splits(given, config.validation_fraction), TOKENIZERS[config.tokenizer]
    if config.tokenizer == "bytes":
        vocabulary = Vocabulary.of_bytes()
    else:
        vocabulary = Vocabulary.fit(map(tokenize, splits["train"][0]), config.vocabulary_size)
    out = {"vocabulary": np.frombuffer(json.dumps(vocabulary.words).encode("ascii"), np.uint8)}
    for split, (documents, labels) in splits.items():
        ids, lengths = vocabulary.encode(map(tokenize, documents), config.bucket_lengths[-1])
        out |= {f"{split}_inputs": ids, f"{split}_lengths": lengths, f"{split}_labels": labels}
    return out


def _examples(cached: Mapping[str, np.ndarray], split: str) -> Examples:
    return Examples(**{name: cached[f"{split}_{name}"] for name in ("inputs", "labels", "lengths")})

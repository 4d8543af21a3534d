"""Words and their numbers: the tokenizer and the vocabulary."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PADDING, UNKNOWN = 0, 1
"""Ids of padding (never a real word) and of every word outside the vocabulary."""

_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[!?.]")


def tokenize(document: str) -> list[str]:
    """Splits a document into words.

    Line breaks of HTML become spaces, letters become lower case, a word is a run of letters and
    digits with inner apostrophes (``don't``), and ``!``, ``?`` and ``.`` are words of their own.
    """
    return _WORD.findall(_BREAK.sub(" ", document).replace("\u2019", "'").lower())


@dataclass(frozen=True)
class Vocabulary:
    """Words in the order of their ids; the first two stand for padding and the unknown word."""

    words: tuple[str, ...]

    @classmethod
    def fit(cls, documents: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """The ``size - 2`` most frequent words of tokenized documents; ties in alphabetical order."""
        counts: Counter[str] = Counter()
        for words in documents:
            counts.update(words)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(("<pad>", "<unk>", *ranked[: size - 2]))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, documents: Iterable[Sequence[str]], max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and lengths of tokenized documents.

        A document longer than ``max_length`` words keeps its first quarter and its last three
        quarters of that many: reviews tend to end with their verdict.

        Returns:
          ``(ids [N, max_length] int32, lengths [N] int32)``, padded behind with ``PADDING``.
        """
        index = {word: i for i, word in enumerate(self.words)}
        head = max_length // 4
        tail = max_length - head
        rows = []
        for words in documents:
            if len(words) > max_length:
                words = [*words[:head], *words[-tail:]]
            rows.append([index.get(word, UNKNOWN) for word in words])
        ids = np.full((len(rows), max_length), PADDING, np.int32)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = values
        return ids, np.array([len(values) for values in rows], np.int32)

"""Tokens and their numbers: the tokenizers and the vocabulary."""

import functools
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

PADDING, UNKNOWN = 0, 1
"""Ids of padding (never a real token) and of every token outside the vocabulary."""

VERSION = 2
"""Of the tokenizers; raise it when one of them gives other tokens for some text."""

_SPECIAL = ("<pad>", "<unk>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*|[!?.]")
_LAST_MARK = 0x1F000
"""Behind it there are only variation selectors, which choose a glyph and no other word."""


def words(document: str) -> list[str]:
    """Splits a document into words.

    Line breaks of HTML become spaces, letters become lower case and are composed (Unicode's NFC). A word is a run of
    letters and digits with their combining marks, with inner apostrophes (``don't``) and joiners; ``!``, ``?`` and
    ``.`` are words of their own. A script that puts no spaces between words is better read as characters.
    """
    text = _BREAK.sub(" ", document).replace("\u2019", "'").lower()
    if text.isascii():  # the same words in two thirds of the time
        return _ASCII_WORD.findall(text)
    return _word().findall(unicodedata.normalize("NFC", text))


def characters(document: str) -> str:
    """The characters of a document, composed (NFC); a line break of HTML is one new line."""
    return unicodedata.normalize("NFC", _BREAK.sub("\n", _encodable(document)))


def utf8_bytes(document: str) -> str:
    """The bytes of a document in UTF-8, nothing normalised, each as the character of its number (Latin-1)."""
    return _encodable(document).encode("utf-8").decode("latin-1")


TOKENIZERS: dict[str, Callable[[str], Sequence[str]]] = {
    "words": words,
    "characters": characters,
    "bytes": utf8_bytes,
}
"""What splits a document into tokens, by the name that a configuration gives it."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids; the first two stand for padding and the unknown token."""

    words: tuple[str, ...]

    @classmethod
    def fit(cls, documents: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """The ``size - 2`` most frequent tokens of tokenized documents; ties in alphabetical order."""
        counts: Counter[str] = Counter()
        for tokens in documents:
            counts.update(tokens)
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls((*_SPECIAL, *ranked[: size - 2]))

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        """All 256 bytes, as :func:`utf8_bytes` gives them."""
        return cls((*_SPECIAL, *map(chr, range(256))))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, documents: Iterable[Sequence[str]], max_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and lengths of tokenized documents.

        A document longer than ``max_length`` tokens keeps its first quarter and its last three
        quarters of that many: reviews tend to end with their verdict.

        Returns:
          ``(ids [N, max_length] int32, lengths [N] int32)``, padded behind with ``PADDING``.
        """
        index = {token: i for i, token in enumerate(self.words)}
        head = max_length // 4
        tail = max_length - head
        rows = []
        for tokens in documents:
            if len(tokens) > max_length:
                tokens = [*tokens[:head], *tokens[-tail:]]
            rows.append(np.fromiter((index.get(token, UNKNOWN) for token in tokens), np.int32, len(tokens)))
        ids = np.full((len(rows), max_length), PADDING, np.int32)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = values
        return ids, np.array([len(values) for values in rows], np.int32)


@functools.cache
def _word() -> re.Pattern[str]:
    # A mark is no letter to `re`, though Hindi's vowels and Hebrew's points are marks.
    marks = [code for code in range(0x300, _LAST_MARK) if unicodedata.category(chr(code)).startswith("M")]
    runs = itertools.groupby(enumerate(marks), lambda pair: pair[1] - pair[0])
    ranges = [[code for _, code in run] for _, run in runs]
    mark = "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in ranges)
    letters = r"[^\W_]"
    return re.compile(rf"{letters}+(?:[{mark}]+{letters}*|['\u200c\u200d]{letters}+)*|[!?.]")


def _encodable(document: str) -> str:
    """Half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD."""
    return document.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

"""Tokens and their numbers: the tokenizers and the vocabulary."""

import functools
import html
import itertools
import re
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

PADDING, UNKNOWN = 0, 1
"""Ids of padding (never a real token) and of every token outside the vocabulary."""

END = 2
"""Id of what ends a sequence that is written token by token, where a vocabulary has it."""

VERSION = 2
"""Of the tokenizers; raise it when one of them gives other tokens for some text."""

UNKNOWN_TOKEN = "<unk>"
"""What stands for the unknown token, in a vocabulary and where it is shown."""

END_TOKEN = "</s>"
"""Stands behind each document of several that are one text; no tokenizer of words gives it."""

_SPECIAL = ("<pad>", UNKNOWN_TOKEN)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*|[!?.]")
_INLINE = "a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE}|time|tt|u|var|wbr)(?:[\s/][^<>]*)?>", re.IGNORECASE)
"""Tags of HTML that no word is broken by."""
_ANY_TAG = re.compile(
    r"<!--[^<>]*-->|</?(?:address|article|aside|audio|blockquote|body|br|button|caption|center|col|colgroup|dd|details"
    r"|div|dl|dt|embed|fieldset|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend"
    r"|li|link|main|meta|nav|noscript|object|ol|option|p|picture|pre|script|section|select|source|style|summary|svg"
    r"|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul|video)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
"""The other tags of HTML. What has angle brackets and another name may be anything, such as ``<sigh>``."""
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt)."""
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bc\uff07"), "'")
_LAST_MARK = 0x1F000
"""Behind it there are only variation selectors, which choose a glyph and no other word."""


def words(document: str) -> list[str]:
    """The words of a document, as :func:`each_word` finds them."""
    return list(each_word(document))


def each_word(document: str) -> Iterator[str]:
    """Splits a document into words, one after the other, so that a long one's need not be held.

    Line breaks of HTML become spaces, letters become lower case and are composed (Unicode's NFC). A word is a run of
    letters and digits with their combining marks, with inner apostrophes (``don't``) and joiners; ``!``, ``?`` and
    ``.`` are words of their own. A script that puts no spaces between words is better read as characters.
    """
    text = _BREAK.sub(" ", document).replace("\u2019", "'").lower()
    if text.isascii():  # the same words in two thirds of the time
        return _found(_ASCII_WORD, text)
    return _found(_word(), unicodedata.normalize("NFC", text))


def each_plain_word(document: str) -> Iterator[str]:
    """Words as :func:`each_word` finds them, of a document in which spellings that look alike are alike.

    Tags and comments of HTML are taken out, those that no word is broken by without a trace and the others for a
    space; character references (``&quot;``, ``&#39;``) become what they stand for; apostrophes of all kinds become
    ``'``. The rest is the Unicode Standard's toNFKC_Casefold (section 3.13): ligatures, full-width letters and other
    compatibility characters become the ordinary ones, what is ignorable by default (soft hyphens, zero-width
    characters, variation selectors) goes, and case is folded (``Straße`` is ``strasse``).
    """
    text = unicodedata.normalize("NFKC", document)
    text = _ANY_TAG.sub(" ", _INLINE_TAG.sub("", text))
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = _IGNORABLE.sub("", text).translate(_APOSTROPHES)
    for _ in range(2):  # a folded character may be one to normalise, and the other way round
        text = unicodedata.normalize("NFKC", text.casefold())
    return _found(_ASCII_WORD if text.isascii() else _word(), text)


def characters(document: str) -> str:
    """The characters of a document, composed (NFC); a line break of HTML is one new line."""
    return unicodedata.normalize("NFC", _BREAK.sub("\n", _encodable(document)))


def utf8_bytes(document: str) -> str:
    """The bytes of a document in UTF-8, nothing normalised, each as the character of its number (Latin-1)."""
    return _encodable(document).encode("utf-8").decode("latin-1")


TOKENIZERS: dict[str, Callable[[str], Iterable[str]]] = {
    "words": each_word,
    "plain-words": each_plain_word,
    "characters": characters,
    "bytes": utf8_bytes,
}
"""What splits a document into tokens, by the name that a configuration gives it."""

_OF_WORDS = {"words", "plain-words"}


def alike(tokenizer: str, other: str) -> bool:
    """Whether a token that both tokenizers give means the same: ``a`` is one word, and one character of many."""
    return tokenizer == other or {tokenizer, other} <= _OF_WORDS


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids; the first two stand for padding and the unknown token."""

    words: tuple[str, ...]

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]], size: int) -> "Vocabulary":
        """The ``size - 2`` most frequent tokens of tokenized documents; ties in alphabetical order."""
        counts: Counter[str] = Counter()
        for tokens in documents:
            counts.update(tokens)
        return cls.of_counts(counts, size)

    @classmethod
    def of_counts(cls, counts: Counter[str], size: int) -> "Vocabulary":
        """The ``size - 2`` tokens that were counted most; ties in alphabetical order."""
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        return cls((*_SPECIAL, *ranked[: size - 2]))

    @classmethod
    def of_bytes(cls) -> "Vocabulary":
        """All 256 bytes, as :func:`utf8_bytes` gives them."""
        return cls((*_SPECIAL, *map(chr, range(256))))

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} tokens)"  # all of them would fill pages where a predictor is shown

    def encode(
        self, documents: Iterable[Iterable[str]], max_length: int, keep: str = "both"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and lengths of tokenized documents.

        A document longer than ``max_length`` tokens keeps its first quarter and its last three
        quarters of that many: reviews tend to end with their verdict.

        Args:
          documents: their tokens.
          max_length: the most that are kept.
          keep: ``head`` or ``tail``: that end of a longer document, and nothing of the other.

        Returns:
          ``(ids [N, max_length] int32, lengths [N] int32)``, padded behind with ``PADDING``.
        """
        ids, counts = self.encode_counted(documents, max_length, keep)
        return ids, np.minimum(counts, max_length).astype(np.int32)

    def encode_counted(
        self, documents: Iterable[Iterable[str]], max_length: int, keep: str = "both"
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`encode`, with the tokens that each document has, kept or not, in place of those that are kept."""
        index = {token: i for i, token in enumerate(self.words)}
        head = {"head": max_length, "tail": 0, "both": max_length // 4}[keep]
        rows, counts = [], []
        for document in documents:  # which may be long: no more of it is held than what is kept
            rest = iter(document)
            tokens = list(itertools.islice(rest, head))
            numbered = deque(enumerate(rest, len(tokens) + 1), max(max_length - head, 1))
            counts.append(numbered[-1][0] if numbered else len(tokens))
            tokens += [token for _, token in numbered] if head < max_length else []
            rows.append(np.fromiter((index.get(token, UNKNOWN) for token in tokens), np.int32, len(tokens)))
        ids = np.full((len(rows), max_length), PADDING, np.int32)
        for row, values in zip(ids, rows, strict=True):
            row[: len(values)] = values
        return ids, np.array(counts, np.int64)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return map(re.Match.group, pattern.finditer(text))


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

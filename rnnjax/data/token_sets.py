"""The tokens of one side of pairs of texts: what splits a text into them, their numbers, and the way back."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from rnnjax.data.preprocess import require, strings
from rnnjax.data.tokens import END, UNKNOWN, UNKNOWN_TOKEN, Vocabulary
from rnnjax.errors import DataError, UsageError

Splitter = Literal["words", "characters", "byte-pairs"]
"""Words are what stands between blanks; byte pairs are learned from the training texts (Sennrich et al. 2016)."""

SPECIAL = ("<pad>", UNKNOWN_TOKEN, "<end>")
"""What stands in front of a vocabulary: padding, the unknown token, and the end of a sequence that is written."""


@dataclass(frozen=True)
class TokenSet:
    """The tokens of texts.

    Attributes:
      splitter: what splits a text.
      vocabulary: tokens in the order of their ids, :data:`SPECIAL` in front.
      lowercase: texts are taken to lower case.
      merges: of byte pairs, the JSON of the package tokenizers; of others empty.
    """

    splitter: Splitter
    vocabulary: Vocabulary
    lowercase: bool = False
    merges: str = ""

    @classmethod
    def fit(cls, texts: Iterable[str], splitter: Splitter, size: int, *, lowercase: bool = False) -> Self:
        """The tokens of training texts, at most ``size`` with those of :data:`SPECIAL`, the most frequent ones."""
        texts = [normal(text, lowercase) for text in texts]
        if splitter == "byte-pairs":
            merges = _learned(texts, size)
            return cls(splitter, _vocabulary_of(merges), lowercase, merges)
        split = ([token for token in units(text, splitter) if token not in SPECIAL] for text in texts)
        found = Vocabulary.fit(split, size - 1).words[UNKNOWN + 1 :]
        return cls(splitter, Vocabulary((*SPECIAL, *found)), lowercase)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's tokens; one that training did not have is the unknown token."""
        texts = [normal(text, self.lowercase) for text in texts]
        if self.splitter == "byte-pairs":
            tokenizer = _package().Tokenizer.from_str(self.merges)
            tokenizer.encode_special_tokens = True  # a text that spells <end> does not end
            return [one.ids for one in tokenizer.encode_batch(texts)]
        index = {token: number for number, token in enumerate(self.vocabulary.words) if number > END}
        return [[index.get(token, UNKNOWN) for token in units(text, self.splitter)] for text in texts]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        words = [] if self.merges else list(self.vocabulary.words)
        merges = json.loads(self.merges) if self.merges else None
        return {"splitter": self.splitter, "lowercase": self.lowercase, "vocabulary": words, "merges": merges}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError, KeyError or TypeError at what is none."""
        splitter, lowercase = values["splitter"], values["lowercase"]
        require(splitter in ("words", "characters", "byte-pairs"), "splitter", splitter)
        require(isinstance(lowercase, bool), "lowercase", lowercase)
        if splitter == "byte-pairs":
            merges = json.dumps(values["merges"], ensure_ascii=False)
            return cls(splitter, _vocabulary_of(merges), lowercase, merges)
        words = strings(values, "vocabulary", len(SPECIAL))
        require(words[: len(SPECIAL)] == SPECIAL, "vocabulary", words[: len(SPECIAL)])
        return cls(splitter, Vocabulary(words), lowercase)


def stored_words(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The tokens in the order of their ids, of what :meth:`TokenSet.to_json` gave, without the package tokenizers.

    Raises:
      KeyError, TypeError, ValueError: at what is none.
    """
    if values["merges"] is None:
        return strings(values, "vocabulary", len(SPECIAL))
    numbers = dict(values["merges"]["model"]["vocab"])
    numbers |= {token["content"]: token["id"] for token in values["merges"]["added_tokens"]}
    return tuple(sorted(numbers, key=lambda token: numbers[token]))


def normal(text: str, lowercase: bool = False) -> str:
    """A text with its characters composed (NFC), one blank between words and none around them."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text


def joined(tokens: Sequence[str], splitter: str) -> str:
    """The text of tokens; those of :data:`SPECIAL` but the unknown one are left out."""
    shown = [token for token in tokens if token not in (SPECIAL[0], SPECIAL[END])]
    if splitter == "byte-pairs":
        return " ".join(_package().decoders.ByteLevel().decode(shown).split())
    return (" " if splitter == "words" else "").join(shown)


def units(text: str, splitter: str) -> list[str]:
    """Characters where those are the tokens, else words: what errors are counted by."""
    return list(text) if splitter == "characters" else text.split()


def _learned(texts: Sequence[str], size: int) -> str:
    """The JSON of byte pairs that are learned from texts; every byte is among them, so that no text is unknown."""
    package = _package()
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    if size < len(alphabet) + len(SPECIAL):
        least = len(alphabet) + len(SPECIAL)
        raise UsageError(f"byte pairs need a vocabulary of {least} or more, all bytes among them, got {size}")
    made = package.Tokenizer(package.models.BPE(unk_token=UNKNOWN_TOKEN))
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return json.dumps(json.loads(made.to_str()), ensure_ascii=False)  # as it is read again


def _vocabulary_of(merges: str) -> Vocabulary:
    try:
        numbers = _package().Tokenizer.from_str(merges).get_vocab()
    except UsageError:
        raise
    except Exception as error:  # the package raises Exception itself
        raise DataError(f"byte pairs that the package tokenizers cannot read ({error})") from error
    return Vocabulary(tuple(sorted(numbers, key=lambda token: numbers[token])))


def _package() -> Any:
    try:
        import tokenizers  # pyright: ignore[reportMissingImports]
        import tokenizers.decoders  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError("byte pairs need the package tokenizers: pip install 'rnnjax[translation]'") from error
    return tokenizers

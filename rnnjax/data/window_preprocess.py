"""A text as windows of token ids."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data.examples import Examples
from rnnjax.data.joining import joiner
from rnnjax.data.preprocess import Preprocess, require, strings
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.text_windows import cut, text_of
from rnnjax.data.tokens import END_TOKEN, PADDING, TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.errors import DataError


@dataclass(frozen=True)
class WindowPreprocess(Preprocess):
    """A text as token ids, in windows.

    Attributes:
      vocabulary: tokens in the order of their ids.
      window: tokens of a row in training.
      tokenizer: name of what splits a text, in :data:`rnnjax.data.tokens.TOKENIZERS`.
      backwards: whether a text is read from its end.
    """

    kind: ClassVar[str] = "windows"
    wanted: ClassVar[str] = "a text by --prompt"
    option: ClassVar[str] = "--prompt"
    rows: ClassVar[str] = "windows"
    never: ClassVar[tuple[int, ...]] = (PADDING, UNKNOWN)
    vocabulary: Vocabulary
    window: int
    tokenizer: str = "characters"
    backwards: bool = False

    @property
    def spec(self) -> Spec:
        """Token ids ``[1, window]``, and an output a token of the vocabulary."""
        size = len(self.vocabulary)
        return Spec({"inputs": Shape((1, self.window), np.dtype(np.int32))}, size, size)

    def ids(self, text: str) -> np.ndarray:
        """The token ids of a text, ``[T]``; tokens outside the vocabulary are the unknown one."""
        index = {token: number for number, token in enumerate(self.vocabulary.words)}
        ids = np.array([index.get(token, UNKNOWN) for token in TOKENIZERS[self.tokenizer](text)], np.int32)
        return ids[::-1] if self.backwards else ids

    def prompt(self, text: str) -> np.ndarray:
        """The token ids ``[T]`` of a text that a model is to go on with.

        Raises:
          DataError: if it has no token, or one outside the vocabulary, which the model would read as unknown, or if the
            model reads backwards.
        """
        if self.backwards:
            raise DataError("this model reads texts from their end: it tells what came before, and cannot go on")
        ids = self.ids(text)
        if not len(ids):
            raise DataError("the prompt is empty; give a text to go on with, such as a line break: --prompt $'\\n'")
        if (ids == UNKNOWN).any():
            tokens = list(TOKENIZERS[self.tokenizer](text))
            outside = dict.fromkeys(repr(token) for token, number in zip(tokens, ids, strict=True) if number == UNKNOWN)
            raise DataError(f"the prompt has {self._plural} outside the model's vocabulary: {', '.join(outside)}")
        return ids

    def labelled(self, path: str | Path) -> Examples:
        """The windows of a text file; of a model of documents it is one of them, with an end before and behind it.

        Raises:
          DataError: if it cannot be read, or has no token that follows another.
        """
        if Path(path).is_dir():
            raise DataError(f"{path} is a folder; a language model is evaluated on one text file")
        ids = self.ids(text_of(Path(path)))
        if not len(ids):
            raise DataError(f"{path}: there is no text in it")
        if END_TOKEN in self.vocabulary.words:
            end = self.vocabulary.words.index(END_TOKEN)
            ids = np.array([end, *ids, end], np.int32)
        if len(ids) < 2:
            raise DataError(f"{path} has one token; a language model predicts those that follow: give a longer text")
        return cut(ids, self.window)

    def text(self, ids: Any) -> str:
        """The text of token ids ``[T]``; padding is left out, and characters and words are as they were normalised."""
        return self.joiner()(ids, final=True)

    def joiner(self) -> Callable[..., str]:
        """From the ids of a text, given part by part, to what each part adds; ``final=True`` with the last."""
        join, words = joiner(self.tokenizer), self.vocabulary.words

        def added(ids: Any, *, final: bool = False) -> str:
            return join([words[number] for number in np.asarray(ids) if number != PADDING], final=final)

        return added

    def example(self) -> str:
        """A word that English texts have, or else the most frequent token that can be seen."""
        if UNKNOWN not in self.ids("The"):
            return "The"
        shown = (word for word in self.vocabulary.words[UNKNOWN + 1 :] if word.isprintable() and word.strip())
        return next(shown, "")

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Ids ``[N, T]`` of a list of texts of as many tokens each.

        Raises:
          DataError: if it is no list of texts, or they differ in length.
        """
        if isinstance(raw, str) or not all(isinstance(text, str) for text in raw):
            raise DataError("texts must be a list of strings, such as ['one text']")
        rows = [self.ids(text) for text in raw]
        if len({len(row) for row in rows}) > 1:
            raise DataError(f"texts must be of one length in tokens, got {sorted({len(row) for row in rows})}")
        return {"inputs": np.stack(rows) if rows else np.zeros((0, self.window), np.int32)}

    @property
    def _plural(self) -> str:
        return self.tokenizer if self.tokenizer in ("characters", "bytes") else "words"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        words = list(self.vocabulary.words)
        kept = {"kind": self.kind, "vocabulary": words, "window": self.window, "tokenizer": self.tokenizer}
        return kept | ({"backwards": True} if self.backwards else {})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        require(values["tokenizer"] in TOKENIZERS, "tokenizer", values["tokenizer"])
        require(type(values["window"]) is int and values["window"] > 0, "window", values["window"])
        backwards = values.get("backwards", False)
        require(type(backwards) is bool, "backwards", backwards)
        vocabulary = Vocabulary(strings(values, "vocabulary", UNKNOWN + 1))
        return cls(vocabulary, values["window"], values["tokenizer"], backwards)

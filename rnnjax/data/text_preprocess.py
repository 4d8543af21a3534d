"""Documents as token ids with lengths."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.data.preprocess import Preprocess, require, strings
from rnnjax.data.reading import Input
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.text_columns import Reading
from rnnjax.data.text_inputs import text_inputs
from rnnjax.data.tokens import TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.errors import DataError
from rnnjax.files import write_text

if TYPE_CHECKING:
    from rnnjax.data.examples import Examples


@dataclass(frozen=True)
class TextPreprocess(Preprocess):
    """Documents as token ids with lengths.

    Attributes:
      vocabulary: tokens in the order of their ids.
      max_length: the most tokens of a document that are kept.
      class_names: names of the classes in the order of their numbers.
      tokenizer: name of what splits a document, in :data:`rnnjax.data.tokens.TOKENIZERS`.
      keep: which part of a longer document, see :meth:`rnnjax.data.tokens.Vocabulary.encode`.
      reading: how files are read; it changes nothing of what becomes of a document.
      by_line: a text file has a document a line.
    """

    kind: ClassVar[str] = "text"
    wanted: ClassVar[str] = "--text LINE, text files, tables, folders or -"
    vocabulary: Vocabulary
    max_length: int
    class_names: tuple[str, ...]
    tokenizer: str = "words"
    keep: str = "both"
    reading: Reading | None = field(default=None, compare=False)
    by_line: bool = field(default=False, compare=False)

    @property
    def spec(self) -> Spec:
        """Token ids ``[1, T]`` and lengths ``[1]``, and an output a class."""
        int32 = np.dtype(np.int32)
        inputs = {"inputs": Shape((1, self.max_length), int32), "lengths": Shape((1,), int32)}
        return Spec(inputs, len(self.class_names), len(self.vocabulary), self.class_names)

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Ids ``[N, max_length]`` and ``lengths [N]`` of a list of documents."""
        if isinstance(raw, str) or not all(isinstance(document, str) for document in raw):
            raise DataError("documents must be a list of strings, such as ['one document']")
        ids, lengths = self.vocabulary.encode(map(TOKENIZERS[self.tokenizer], raw), self.max_length, self.keep)
        return {"inputs": ids, "lengths": lengths}

    @property
    def padded_lengths(self) -> tuple[int, ...]:
        """Rising by a half and a third in turn, from 8 on; the last is the longest."""
        powers = range(3, self.max_length.bit_length())
        found = sorted(length for power in powers for length in (2**power, 3 * 2 ** (power - 1)))
        return (*(length for length in found if length < self.max_length), self.max_length)

    def unknown(self, stored: Mapping[str, Any]) -> np.ndarray:
        """The share of each document's tokens, of those that are read, which the vocabulary lacks."""
        lengths = np.asarray(stored["lengths"], np.float64)
        lengths[lengths == 0] = np.nan
        return (np.asarray(stored["inputs"]) == UNKNOWN).sum(1) / lengths

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> Iterator[Input]:
        """Documents, tables, text files and folders of them, and stdin (``-``); see :func:`text_inputs`."""
        return text_inputs(texts, paths, stdin, self.reading, by_line=self.by_line)

    def by_lines(self) -> Self:
        """The same, for which a text file has a document a line."""
        return dataclasses.replace(self, by_line=True)

    def labelled(self, path: str | Path) -> "Examples":
        """The documents of a labelled table, or of a folder with a sub-folder a class, as examples.

        Raises:
          DataError: if it cannot be read, or a label is none of the classes.
        """
        from rnnjax.data.document_files import read
        from rnnjax.data.document_folders import split_paths
        from rnnjax.data.examples import labelled
        from rnnjax.data.own_documents import class_numbers

        parts = split_paths(Path(path).expanduser())
        if len(parts) > 1:
            listed = ", ".join(map(str, parts.values()))
            raise DataError(f"{path}: there are several splits in it; evaluate one of them: {listed}")
        # Groups say what stays in one split, and here is nothing to split.
        texts = read(Path(path).expanduser(), dataclasses.replace(self.reading or Reading(), group_column=None))
        labels = class_numbers(texts, self.class_names, "is none of the classes that the model knows")
        encoded = self.encode(texts.documents)
        return dataclasses.replace(labelled(encoded["inputs"], labels, encoded["lengths"]), places=texts.places)

    def example(self) -> str:
        """A document."""
        return "Your text."

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """One file a document: ``texts``, or else the data set's own."""
        for number, text in enumerate(texts or dataset.sample_texts, 1):
            line = f"{' '.join(text.split())}\n".encode("utf-8", "replace").decode("utf-8")
            write_text(folder / f"{number}.txt", line)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what an earlier version did not know is left out where it is as it was then."""
        values = {name: getattr(self, name) for name in ("max_length", "class_names", "tokenizer")}
        values |= {} if self.keep == "both" else {"keep": self.keep}
        values |= {} if self.reading is None else {"reading": self.reading.to_json()}
        return {"vocabulary": list(self.vocabulary.words), **values, "kind": self.kind}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        tokenizer = values.get("tokenizer", "words")  # older work folders know of no other
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"no tokenizer {tokenizer!r}")
        longest = values["max_length"]
        require(type(longest) is int and longest > 0, "max_length", longest)
        keep, reading = values.get("keep", "both"), values.get("reading")
        require(keep in ("both", "head", "tail"), "keep", keep)
        vocabulary = Vocabulary(strings(values, "vocabulary", UNKNOWN + 1))
        how = None if reading is None else Reading.from_json(reading)
        return cls(vocabulary, longest, strings(values, "class_names", 2), tokenizer, keep, how)

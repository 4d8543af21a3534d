"""Texts as token ids, and the targets that are written of them."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data.pair_reading import PairReading
from rnnjax.data.preprocess import Preprocess, require
from rnnjax.data.reading import Input
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.text_columns import Reading
from rnnjax.data.text_inputs import text_inputs
from rnnjax.data.token_sets import TokenSet
from rnnjax.data.tokens import PADDING, UNKNOWN
from rnnjax.errors import DataError
from rnnjax.files import write_text


@dataclass(frozen=True)
class PairPreprocess(Preprocess):
    """Sources as token ids with lengths; a target that is to be written has no token yet.

    Attributes:
      source, target: the tokens of both sides.
      source_length, target_length: the most of them, of a target with its end.
      reading: how files of pairs are read; it changes nothing of what becomes of a text.
    """

    kind: ClassVar[str] = "pairs"
    wanted: ClassVar[str] = "--text LINE, text files with a source a line, or - for lines of stdin"
    rows: ClassVar[str] = "pairs"
    source: TokenSet
    target: TokenSet
    source_length: int
    target_length: int
    reading: PairReading = field(default=PairReading(), compare=False)

    @property
    def spec(self) -> Spec:
        """Ids ``[1, S]`` with lengths, targets ``[1, T]``, and an output a token of the target's vocabulary."""
        int32, names = np.dtype(np.int32), self.target.vocabulary.words
        inputs = {
            "inputs": Shape((1, self.source_length), int32),
            "lengths": Shape((1,), int32),
            "targets": Shape((1, self.target_length), int32),
        }
        return Spec(inputs, len(names), len(self.source), names)

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Ids ``[N, S]`` and ``lengths [N]`` of a list of texts, and ``targets [N, 0]``, which nobody knows.

        Raises:
          DataError: if it is no list of texts, or one of them is blank.
        """
        if isinstance(raw, str) or not all(isinstance(text, str) for text in raw):
            raise DataError("sources must be a list of strings, such as ['one text']")
        rows = self.source.ids(raw)
        if blank := next((number for number, row in enumerate(rows, 1) if not row), None):
            which = f"source {blank}" if len(rows) > 1 else "the source"
            raise DataError(f"{which} is blank: there is nothing to answer")
        longest = max(map(len, rows), default=1)
        inputs, lengths = padded(rows, min(-(-longest // 8) * 8, self.source_length))
        return {"inputs": inputs, "lengths": lengths, "targets": np.zeros((len(rows), 0), np.int32)}

    def unknown(self, stored: Mapping[str, Any]) -> np.ndarray:
        """The share of each source's tokens which the vocabulary lacks."""
        lengths = np.maximum(np.asarray(stored["lengths"], np.float64), 1)
        return (np.asarray(stored["inputs"]) == UNKNOWN).sum(1) / lengths

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> Iterator[Input]:
        """Texts, files with a source a line, tables with the sources' column, and lines of stdin (``-``)."""
        how = Reading(text_column=self.reading.source, encoding=self.reading.encoding)
        return text_inputs(texts, paths, stdin, how, by_line=True)

    def labelled(self, path: str | Path) -> Any:
        """The pairs of a table, of two parallel files of which one is named, or of a folder with two such files.

        Raises:
          DataError: if they cannot be read, or are not parallel.
        """
        from rnnjax.data import pair_files, pairs

        path = Path(path).expanduser()
        return pairs.new_examples(str(path), pair_files.new_pairs(path, self.reading), self)

    def answered(self, raw: Any, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """With ``unread``, how many tokens at a source's end are not read."""
        (ids,) = self.source.ids([raw])
        return {**row, "unread": max(len(ids) - self.source_length, 0)}

    def by_lines(self) -> Self:
        """The same: a file has a source a line in any case."""
        return dataclasses.replace(self)

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """A few sources of the data, a line each."""
        lines = [" ".join(text.split()) for text in (texts or dataset.sample_texts)]
        write_text(folder / "sources.txt", "".join(f"{line}\n" for line in lines))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        sides = {"source": self.source.to_json(), "target": self.target.to_json()}
        lengths = {"source_length": self.source_length, "target_length": self.target_length}
        return {"kind": self.kind, **sides, **lengths, "reading": self.reading.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        lengths = values["source_length"], values["target_length"]
        for length in lengths:
            require(type(length) is int and length > 0, "length", length)
        reading = PairReading.from_json(values.get("reading", {}))
        return cls(TokenSet.from_json(values["source"]), TokenSet.from_json(values["target"]), *lengths, reading)


def padded(rows: Sequence[Sequence[int]], length: int, behind: int = PADDING) -> tuple[np.ndarray, np.ndarray]:
    """Ids ``[N, length]`` of rows that are cut to it, ``behind`` following each, and their lengths ``[N]``."""
    ids = np.full((len(rows), length), behind, np.int32)
    for row, values in zip(ids, rows, strict=True):
        row[: len(values)] = values[:length]
    return ids, np.array([min(len(row), length) for row in rows], np.int32)

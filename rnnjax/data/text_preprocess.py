"""Documents as token ids with lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data.preprocess import Preprocess, require, strings
from rnnjax.data.reading import Input, documents, line, unreadable
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.tokens import TOKENIZERS, UNKNOWN, Vocabulary
from rnnjax.errors import DataError
from rnnjax.files import write_text


@dataclass(frozen=True)
class TextPreprocess(Preprocess):
    """Documents as token ids with lengths.

    Attributes:
      vocabulary: tokens in the order of their ids.
      max_length: the most tokens of a document that are kept.
      class_names: names of the classes in the order of their numbers.
      tokenizer: name of what splits a document, in :data:`rnnjax.data.tokens.TOKENIZERS`.
    """

    kind: ClassVar[str] = "text"
    wanted: ClassVar[str] = "--text LINE, text files or -"
    vocabulary: Vocabulary
    max_length: int
    class_names: tuple[str, ...]
    tokenizer: str = "words"

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
        ids, lengths = self.vocabulary.encode(map(TOKENIZERS[self.tokenizer], raw), self.max_length)
        return {"inputs": ids, "lengths": lengths}

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> list[Input]:
        """Documents, text files with a document a line (blank lines skipped), and stdin (``-``)."""
        return text_inputs(texts, paths, stdin)

    def example(self) -> str:
        """A document."""
        return "Your text."

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """One file with a document a line: ``texts``, or else the data set's own."""
        lines = "".join(f"{' '.join(text.split())}\n" for text in texts or dataset.sample_texts)
        if lines:
            write_text(folder / "samples.txt", lines.encode("utf-8", "replace").decode("utf-8"))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"kind": self.kind, "vocabulary": list(self.vocabulary.words)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        tokenizer = values.get("tokenizer", "words")  # older work folders know of no other
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"no tokenizer {tokenizer!r}")
        longest = values["max_length"]
        require(type(longest) is int and longest > 0, "max_length", longest)
        vocabulary = Vocabulary(strings(values, "vocabulary", UNKNOWN + 1))
        return cls(vocabulary, longest, strings(values, "class_names", 2), tokenizer)


def text_inputs(texts: Sequence[str], paths: Sequence[str], stdin: Any) -> list[Input]:
    """Inputs for documents, for text files with a document a line (blank lines skipped), and for stdin (``-``)."""
    inputs = [line(text) for text in texts]
    for path in paths:
        try:
            inputs += map(line, documents(path, stdin))
        except DataError as error:
            inputs.append((path, unreadable(str(error))))
    return inputs

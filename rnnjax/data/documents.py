"""The sections of a configuration that name documents."""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, runtime
from rnnjax.config.data import DataConfig

Tokenizer = Literal["words", "plain-words", "characters", "bytes"]


@dataclass(frozen=True, kw_only=True)
class TextData(DataConfig):
    """Documents with one label each."""

    kind: ClassVar[str] = "text"
    name: str = field()
    """Data set: a TFDS name such as imdb_reviews."""
    tokenizer: Tokenizer = "words"
    """What a token is: a word in lower case (! ? . too); the same of a text without HTML, soft hyphens and other
    spellings that look alike (plain-words); a character; or a byte of UTF-8."""
    vocabulary_size: int = 20_000
    """Tokens in the vocabulary, the most frequent of the training documents, padding and unknown included.
    Bytes always have 258."""
    bucket_lengths: tuple[int, ...] = (200, 400)
    """Padded lengths, in tokens. The last is the longest document kept: of a longer one, the first quarter
    and the last three quarters of that many tokens. None given: chosen by the documents' lengths, at most 400
    words or 1,600 characters or bytes."""

    def load(self) -> Any:
        """Documents by TFDS."""
        from rnnjax.data import sources

        return sources.labelled_texts(self)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "tokenizer", Tokenizer)
        check(self.vocabulary_size >= 3, self, "vocabulary_size", "3 or more")
        lengths = self.bucket_lengths
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        check(all(n > 0 for n in lengths) and rising, self, "bucket_lengths", "positive and rising")


@dataclass(frozen=True, kw_only=True)
class TextTable(TextData):
    """A user's own labelled documents."""

    kind: ClassVar[str] = "text_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path", "test_path")
    name: str = "text_table"
    """Not used: the data set is called by its file."""
    path: str = runtime("")
    """Your documents: .csv, .tsv or .jsonl, in UTF-8, or a folder with one sub-folder of .txt files a class."""
    test_path: str | None = runtime(None)
    """Likewise, to test on; unset: a part of --data.path, stratified by class, always the same."""
    test_fraction: float = 0.2
    """That part."""
    text_column: str | None = None
    """Column of the documents; unset: text, review, sentence, document, content, comment or message."""
    label_column: str | None = None
    """Column of the labels; unset: label, class, category, sentiment or target."""
    tokenizer: Tokenizer = "plain-words"
    """As for other texts, where the default is words."""
    bucket_lengths: tuple[int, ...] = ()
    """Padded lengths, in tokens, as for other texts; none given: chosen by the documents' lengths."""

    def load(self) -> Any:
        """The documents of a table or a folder."""
        from rnnjax.data import text_table

        return text_table.load(self)

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")

"""The sections of a configuration that name documents."""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, runtime
from rnnjax.config.data import DataConfig

Tokenizer = Literal["words", "plain-words", "characters", "bytes"]


@dataclass(frozen=True, kw_only=True)
class TextData(DataConfig):
    """Documents with one label each.

    A token is a word in lower case (words; ! ? . too); the same of a text without HTML, soft hyphens and other
    spellings that look alike (plain-words); a character; or a byte of UTF-8.

    Documents are padded to the bucket lengths. The last is the longest document kept: of a longer one, the first
    quarter and the last three quarters of that many tokens. None given: chosen by the documents' lengths, at most 400
    words or 1,600 characters or bytes.
    """

    kind: ClassVar[str] = "text"
    name: str = field()
    """A TFDS name such as imdb_reviews."""
    tokenizer: Tokenizer = "words"
    """What a token is."""
    vocabulary_size: int = 20_000
    """Most frequent tokens that are known."""
    bucket_lengths: tuple[int, ...] = (200, 400)
    """Padded lengths in tokens; none given: by the data."""

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
    """A user's own labelled documents.

    Unless they are named, the columns are the first of text, review, sentence, document, content, comment and message,
    and the first of label, class, category, sentiment and target.
    """

    kind: ClassVar[str] = "text_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path", "test_path")
    name: str = option("text_table", offered=False)
    """Not used: the data set is called by its file."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the documents."""
    path: str = runtime("")
    """Your .csv, .tsv or .jsonl, or a folder of sub-folders of .txt."""
    test_path: str | None = runtime(None)
    """Likewise, to test on; unset: a part of --data.path, always the same."""
    test_fraction: float = option(0.2, rare=True)
    """Share of --data.path that is tested on, stratified by class, where there is no --data.test-path."""
    text_column: str | None = None
    """Column of the documents; unset: text, or a name like it."""
    label_column: str | None = None
    """Column of the labels; unset: label, or a name like it."""
    tokenizer: Tokenizer = "plain-words"
    """What a token is."""
    bucket_lengths: tuple[int, ...] = ()
    """Padded lengths in tokens; none given: by the data."""

    def load(self) -> Any:
        """The documents of a table or a folder."""
        from rnnjax.data import own_documents

        return own_documents.load(self)

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")

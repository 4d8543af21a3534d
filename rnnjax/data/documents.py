"""The sections of a configuration that name documents."""

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from rnnjax.config.checks import check, choice, option, runtime
from rnnjax.config.data import DataConfig

Tokenizer = Literal["words", "plain-words", "characters", "bytes"]
Header = Literal["auto", "yes", "no"]
Keep = Literal["both", "head", "tail"]
ValidationBy = Literal["rows", "names"]


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
    train_documents: int = option(0, rare=True)
    """So many of the documents that are left to train on, by class and drawn once; 0: all."""
    validation_by: ValidationBy = option("rows", rare=True)
    """What is held out of train: rows, or whole groups of documents that share rare names, as those of one film do."""
    vocabulary_splits: tuple[str, ...] = option((), rare=True)
    """TFDS splits, labels aside, whose tokens are the vocabulary, as a language model's of them; none: train."""

    @property
    def longest(self) -> int | None:
        """The most tokens of a document that are kept; None: by the tokenizer."""
        return self.bucket_lengths[-1] if self.bucket_lengths else None

    @property
    def kept(self) -> Keep:
        """What is kept of a longer document: its beginning and its end, or one of them."""
        return "both"

    def load(self) -> Any:
        """Documents by TFDS."""
        from rnnjax.data import sources

        return sources.labelled_texts(self)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "tokenizer", Tokenizer)
        check(self.train_documents >= 0, self, "train_documents", "0 or more")
        choice(self, "validation_by", ValidationBy)
        check(self.vocabulary_size >= 3, self, "vocabulary_size", "3 or more")
        lengths = self.bucket_lengths
        rising = all(a < b for a, b in itertools.pairwise(lengths))
        check(all(n > 0 for n in lengths) and rising, self, "bucket_lengths", "positive and rising")


@dataclass(frozen=True, kw_only=True)
class SelfTrainingText(TextData):
    """Documents with one label each, and others of the same kind that models have labelled, for training alone."""

    kind: ClassVar[str] = "self_training_text"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "labels_path")
    labels_path: str = runtime("")
    """A table of row, label and weight (0 to 1) for documents of the unlabelled split."""
    unlabelled_split: str = option("unsupervised", rare=True)
    """TFDS split that it labels."""
    without_labels: bool = option(False, rare=True, off="Take labels from --data.labels-path.")
    """Take that split as it is: what needs no label learns from it (--optim.adversarial-by answers), nothing else."""

    def load(self) -> Any:
        """Documents by TFDS, and the labels of a file."""
        from rnnjax.data import labelled_by_models

        return labelled_by_models.load(self)


@dataclass(frozen=True, kw_only=True)
class TextTable(TextData):
    """A user's own labelled documents.

    Unless they are named, the columns are the first of text, review, sentence, document, content, comment and message,
    and the first of label, class, category, sentiment and target; or else those of which one alone holds long texts,
    and one alone a few short labels. What was found is said before training.

    Where there is no test split it is cut from train, and so is the validation split: by class, the same way each time,
    with all copies of a text, and all rows of a group, in one of them.
    """

    kind: ClassVar[str] = "text_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path", "test_path")
    name: str = option("text_table", offered=False)
    """Not used: the data set is called by its file."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the documents."""
    path: str = runtime("")
    """Your .csv, .tsv, .json, .jsonl or .parquet, or a folder of sub-folders of .txt."""
    test_path: str | None = runtime(None)
    """Likewise, to test on; unset: a part of --data.path, always the same."""
    test_fraction: float = option(0.2, rare=True)
    """Share of --data.path that is tested on, stratified by class, where there is no --data.test-path."""
    text_column: str | None = None
    """Column of the documents; unset: text, or a name like it."""
    label_column: str | None = None
    """Column of the labels; unset: label, or a name like it."""
    group_column: str | None = option(None, rare=True)
    """Column whose equal values stay in one split, such as an author; unset: copies of a text alone do."""
    delimiter: str | None = runtime(None, rare=True)
    """What stands between fields: a character, or tab; unset: found out."""
    encoding: str | None = runtime(None, rare=True)
    """Encoding of your files, such as cp1252 or utf-16; unset: UTF-8."""
    header: Header = runtime("auto", rare=True)
    """Whether the first line names the columns; auto: unless it is plainly a row of data."""
    max_length: int | None = None
    """Most tokens of a document that are read; unset: 400 words, or 1,600 characters or bytes."""
    keep: Keep = option("both", rare=True)
    """What is read of a longer one: its head, its tail, or a first quarter and last three quarters."""
    spaceless_characters: bool = option(True, rare=True, off="Read plain words also where most texts have no spaces.")
    """Read characters where --data.tokenizer is plain-words and most texts have no spaces between words."""
    tokenizer: Tokenizer = "plain-words"
    """What a token is."""
    bucket_lengths: tuple[int, ...] = ()
    """Padded lengths in tokens; none given: by the data."""
    validation_by: ValidationBy = option("rows", offered=False)
    """Only rows: --data.group-column says what belongs together."""

    def load(self) -> Any:
        """The documents of a table or a folder."""
        from rnnjax.data import own_documents

        return own_documents.load(self)

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        choice(self, "header", Header)
        check(self.validation_by == "rows", self, "validation_by", "rows; name what belongs together by group_column")
        choice(self, "keep", Keep)
        longest, buckets = self.max_length, self.bucket_lengths
        check(longest is None or longest > 0, self, "max_length", "positive")
        fits = longest is None or not buckets or buckets[-1] == longest
        check(fits, self, "max_length", f"the last of --data.bucket-lengths ({buckets[-1:]}), or left out")

    def fitting(self, examples: int, multiple: int) -> Self:
        """The section with a batch that few documents fill."""
        return self.with_smaller_batch(examples, multiple)

    train_documents: int = option(0, rare=True)
    """So many of the documents that are left to train on, by class and drawn once; 0: all."""
    vocabulary_splits: tuple[str, ...] = option((), rare=True)
    """TFDS splits, labels aside, whose tokens are the vocabulary, as a language model's of them; none: train."""

    @property
    def longest(self) -> int | None:
        """The most tokens of a document that are kept; None: by the tokenizer."""
        return self.max_length or super().longest

    @property
    def kept(self) -> Keep:
        """What is kept of a longer document."""
        return self.keep

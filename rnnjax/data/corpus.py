"""The section of a configuration that names a text to be modelled."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive, runtime
from rnnjax.config.data import DataConfig
from rnnjax.data.documents import Tokenizer

Direction = Literal["forwards", "backwards"]


@dataclass(frozen=True, kw_only=True)
class CorpusData(DataConfig):
    """A text that is read as so many streams as a batch has rows.

    It is cut by its tokens in their order: training, validation, test. The vocabulary is that of the training part.

    In evaluation each stream starts without what precedes it, so that the loss is that of a reader who is a little
    worse informed.
    """

    kind: ClassVar[str] = "corpus"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path")
    name: str = "tiny_shakespeare"
    """A TFDS name, for where --data.path is unset; the parts that TFDS has are put together first."""
    path: str | None = runtime(None, of_target=True)
    """Your text, a UTF-8 file; unset: TFDS's."""
    batch_size: int = 64
    """Streams that are read side by side, over all devices together."""
    window: int = 128
    """Tokens of a stream in one step, through which gradients flow."""
    tokenizer: Tokenizer = option("characters", of_target=True)
    """What a token is."""
    vocabulary_size: int = option(20_000, rare=True, of_target=True)
    """Most frequent tokens that are known."""
    validation_fraction: float = 0.05
    """Share of the text, before the test part, to choose the best by."""
    test_fraction: float = option(0.1, of_target=True)
    """Share of the text, at its end, to test on."""
    refit: bool = option(False, off="Do not train on the validation part.")
    """Train on the validation part too, once all is chosen: validation then tells nothing."""

    def load(self) -> Any:
        """The windows of the text."""
        from rnnjax.data import windows

        return windows.load(self)

    def __post_init__(self):
        super().__post_init__()
        positive(self, "window")
        choice(self, "tokenizer", Tokenizer)
        check(self.vocabulary_size >= 3, self, "vocabulary_size", "3 or more")
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        left = 1 - self.validation_fraction - self.test_fraction
        check(left > 0, self, "test_fraction", "such that a part is left to train on")


@dataclass(frozen=True, kw_only=True)
class DocumentsCorpus(CorpusData):
    """Documents one after the other, in an order that is drawn once, with an end token behind each.

    They are those of TFDS splits, labels aside; whole documents are held out of what is trained on. The vocabulary is
    that of all documents of the training splits, so that a classifier of the same documents can share it.
    """

    kind: ClassVar[str] = "documents_corpus"
    places: ClassVar[tuple[str, ...]] = ("data_dir",)
    name: str = "imdb_reviews"
    """A TFDS name."""
    path: str | None = option(None, runtime=True, offered=False)
    """Not used: documents are TFDS's."""
    train_splits: tuple[str, ...] = option(("train", "unsupervised"), rare=True)
    """TFDS splits that are trained on and validated."""
    test_split: str = option("test", rare=True, of_target=True)
    """TFDS split to test on."""
    test_documents: int = option(5_000, rare=True, of_target=True)
    """Documents of it that are tested on, drawn once; 0: all."""
    direction: Direction = "forwards"
    """Whether the token after those read is predicted, or reading each document from its end, the one before."""
    tokenizer: Tokenizer = option("words", of_target=True)
    """What a token is."""
    vocabulary_size: int = option(30_000, rare=True, of_target=True)
    """Most frequent tokens that are known."""
    validation_fraction: float = 0.01
    """Share of the training splits' documents to choose the best by."""
    test_fraction: float = option(0.1, offered=False)
    """Not used: the test split is TFDS's."""

    def load(self) -> Any:
        """The windows of the documents."""
        from rnnjax.data import documents_corpus

        return documents_corpus.load(self)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "direction", Direction)
        check(bool(self.train_splits), self, "train_splits", "at least one TFDS split")
        check(self.test_split not in self.train_splits, self, "test_split", "none of those that are trained on")
        check(self.test_documents >= 0, self, "test_documents", "0 or more")

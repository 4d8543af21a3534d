"""The section of a configuration that names a text to be modelled."""

from dataclasses import dataclass
from typing import Any, ClassVar

from rnnjax.config.checks import check, choice, option, positive, runtime
from rnnjax.config.data import DataConfig
from rnnjax.data.documents import Tokenizer


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
    path: str | None = runtime(None)
    """Your text, a UTF-8 file; unset: TFDS's."""
    batch_size: int = 64
    """Streams that are read side by side, over all devices together."""
    window: int = 128
    """Tokens of a stream in one step, through which gradients flow."""
    tokenizer: Tokenizer = "characters"
    """What a token is."""
    vocabulary_size: int = option(20_000, rare=True)
    """Most frequent tokens that are known."""
    validation_fraction: float = 0.05
    """Share of the text, before the test part, to choose the best by."""
    test_fraction: float = 0.1
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

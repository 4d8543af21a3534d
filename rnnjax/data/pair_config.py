"""The section of a configuration that names pairs of texts: a source that is read, and a target that is written."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, runtime
from rnnjax.config.data import DataConfig
from rnnjax.data.token_sets import Splitter
from rnnjax.errors import UsageError

PairScore = Literal["task", "exact_match", "sequence_error_rate", "token_error_rate", "bleu", "loss"]


@dataclass(frozen=True, kw_only=True)
class PairConfig(DataConfig):
    """How pairs of texts become ids. A source of pairs of one's own overrides :meth:`splits`.

    Words are what stands between blanks, and byte pairs are learned; vocabularies are those of the training texts, a
    side each. A longer source or target than is allowed is cut, which is said with a count; the texts that answers are
    compared with stay whole.
    """

    source_splitter: Splitter = "words"
    """What a token of a source is."""
    target_splitter: Splitter = "words"
    """What a token of a target is."""
    source_vocabulary: int = option(8000, rare=True)
    """Most tokens that sources have."""
    target_vocabulary: int = option(8000, rare=True)
    """Most tokens that targets have."""
    lowercase: bool = option(False, rare=True, off="Keep capital letters.", of_target=True)
    """Take both sides to lower case."""
    source_length: int = option(0, rare=True)
    """Most tokens that are read; 0: as many as the longest training source has."""
    target_length: int = option(0, rare=True)
    """Most tokens that are written, the end among them; 0: as many as the longest training target has."""

    def splits(self) -> Any:
        """The texts: :class:`rnnjax.data.pairs.Pairs` by ``train``, ``validation`` and ``test``."""
        raise UsageError(f"{type(self).__name__} must say by splits() what its pairs are")

    def load(self) -> Any:
        """The pairs as ids."""
        from rnnjax.data import pairs

        return pairs.dataset(self.name, self, self.splits())

    def __post_init__(self):
        super().__post_init__()
        for side in ("source", "target"):
            choice(self, f"{side}_splitter", Splitter)
            check(getattr(self, f"{side}_vocabulary") >= 4, self, f"{side}_vocabulary", "4 or more")
            check(getattr(self, f"{side}_length") >= 0, self, f"{side}_length", "0 or more tokens")
        check(self.target_length != 1, self, "target_length", "0, or 2 or more tokens, the end among them")


@dataclass(frozen=True, kw_only=True)
class PairData(PairConfig):
    """Parallel files, a line a text, in a folder; or a table with a column of sources and one of targets.

    Files are called by their part and their side, as ``train.en`` and ``train.de``, also with ``.gz``. Of several test
    parts the first is the test, and the others are reported beside it. A table is split at random, by shares.
    """

    kind: ClassVar[str] = "pairs"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path")
    name: str = option("pairs", rare=True)
    """Name of the data set in results."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the files."""
    path: str = runtime("")
    """Folder of parallel files, or a table (.csv, .jsonl, .parquet, ...)."""
    source: str = option("source", of_target=True)
    """Ending of files to read, or column of a table."""
    target: str = option("target", of_target=True)
    """Ending of files to write, or column of a table."""
    train_part: str = option("train", rare=True)
    """Beginning of the training files."""
    validation_part: str = option("val", rare=True)
    """Beginning of the files to choose the best by."""
    test_parts: tuple[str, ...] = option(("test",), rare=True, of_target=True)
    """Beginnings of the files to test on."""
    test_fraction: float = option(0.1, rare=True, of_target=True)
    """Share of a table's rows to test on."""
    score: PairScore = option("task", rare=True)
    """What chooses the best and is compared with the bar; task: as the experiment says."""
    encoding: str | None = runtime(None, rare=True)
    """Encoding of your files, such as cp1252 or utf-16; unset: UTF-8."""

    def splits(self) -> Any:
        """The texts of the files."""
        from rnnjax.data import pair_files

        return pair_files.splits(self)

    def task_of(self, given: Any) -> Any:
        """The task with the score that is said here; where none is, as it is."""
        return given if self.score == "task" or not given.writes else dataclasses.replace(given, score=self.score)

    def fitting(self, examples: int, multiple: int) -> Any:
        """The section with a batch that few pairs fill."""
        return self.with_smaller_batch(examples, multiple)

    def trained_on(self, path: Path) -> bool:
        """Whether a file is of the folder's training or validation part."""
        from rnnjax.data.pair_files import part_of

        inside = path.resolve().parent == Path(self.path).expanduser().resolve()
        return inside and part_of(path.name, (self.source, self.target)) in (self.train_part, self.validation_part)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "score", PairScore)
        check(self.source != self.target, self, "target", "another than --data.source")
        check(bool(self.test_parts), self, "test_parts", "at least one")
        once = len(set(self.test_parts)) == len(self.test_parts)
        apart = once and not {self.train_part, self.validation_part} & {*self.test_parts}
        check(apart, self, "test_parts", "other parts than those of training and validation, each named once")
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        left = 1 - self.validation_fraction - self.test_fraction
        check(left > 0, self, "test_fraction", "such that a part is left to train on")

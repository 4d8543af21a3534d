"""Classic sets of labelled time series, as the package aeon brings them, by their published training and test files."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from rnnjax.config.checks import check, choice, option, runtime
from rnnjax.data.augmented_sequences import AugmentedSequences
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import DataError, UsageError

Name = Literal["JapaneseVowels", "BasicMotions", "PickupGestureWiimoteZ", "ArrowHead", "OSULeaf"]


class Sizes(NamedTuple):
    """What tells a set from another."""

    train: int
    test: int
    shortest: int
    longest: int
    channels: int
    classes: int

    def __str__(self) -> str:
        lengths = f"{self.shortest} to {self.longest}" if self.shortest < self.longest else str(self.longest)
        rows = f"{self.train} training and {self.test} test sequences"
        return f"{rows} of {lengths} steps, {self.channels} channel{'s' * (self.channels > 1)}, {self.classes} classes"


SETS: dict[str, Sizes] = {
    "JapaneseVowels": Sizes(270, 370, 7, 29, 12, 9),
    "BasicMotions": Sizes(40, 40, 100, 100, 6, 4),
    "PickupGestureWiimoteZ": Sizes(50, 50, 29, 361, 1, 10),
    "ArrowHead": Sizes(36, 175, 251, 251, 1, 3),
    "OSULeaf": Sizes(200, 242, 427, 427, 1, 6),
}


@dataclass(frozen=True, kw_only=True)
class AeonData(AugmentedSequences):
    """A small set of labelled series of the UCR and UEA archives, in the published split.

    JapaneseVowels is 12 channels of speech, whose speaker is asked for, and BasicMotions 6 channels of a smart watch;
    PickupGestureWiimoteZ is the acceleration of a hand; ArrowHead and OSULeaf are outlines of arrow heads and leaves.
    """

    kind: ClassVar[str] = "aeon"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path")
    name: str = "JapaneseVowels"
    """Which set: JapaneseVowels, BasicMotions, PickupGestureWiimoteZ, ArrowHead or OSULeaf."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the folder."""
    path: str = runtime("")
    """Folder datasets/data of the package aeon, or that of the set; unset: of aeon where it is installed."""
    validation_fraction: float = 0.2
    """Share of train, of each class, to choose the best by."""
    max_length: int | None = None
    """Steps of a sequence that are read, from its beginning; unset: all."""

    def load(self) -> Any:
        """The sequences of the set.

        Raises:
          UsageError: if no place is named, and aeon is not installed.
          DataError: if the files are not there, or are not those of the set by their sizes.
        """
        folder = Path(self.path).expanduser() if self.path else _installed(self.name)
        train = _file(folder, self.name)
        fraction, most = self.validation_fraction, self.max_length
        dataset = SequenceTable(path=str(train), target="class", validation_fraction=fraction, max_length=most).load()
        found, wanted = _sizes(dataset), _cut(SETS[self.name], most)
        if found != wanted:
            raise DataError(f"{train}: there are {found}, and {self.name} has {wanted}")
        return replace(dataset, name=self.name)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "name", Name)
        check(self.max_length is None or self.max_length > 0, self, "max_length", "positive")


def _installed(name: str) -> Path:
    """The folder of the sets in the package, which is not imported: it asks for other versions of what is here."""
    spec = importlib.util.find_spec("aeon")
    for place in (spec and spec.submodule_search_locations) or ():
        return Path(place) / "datasets" / "data"
    raise UsageError(
        f"{name} comes with the package aeon, which is not installed: pip install --no-deps aeon, or name the folder "
        "datasets/data of its wheel by --data.path FOLDER"
    )


def _file(folder: Path, name: str) -> Path:
    """The training file of a set, beside which there is its test file."""
    for place in (folder / name, folder):
        train, test = (place / f"{name}_{split}.ts" for split in ("TRAIN", "TEST"))
        if train.is_file() and test.is_file():
            return train
    raise DataError(
        f"{folder}: {name}/{name}_TRAIN.ts and {name}_TEST.ts are not both in it; name the folder datasets/data of the "
        "package aeon by --data.path"
    )


def _sizes(dataset: Any) -> Sizes:
    train, validation, test = dataset.splits().values()
    lengths = [int(length) for part in (train, validation, test) for length in part.lengths]
    channels, classes = len(dataset.preprocess.channels), len(dataset.preprocess.targets.names)
    return Sizes(len(train) + len(validation), len(test), min(lengths), max(lengths), channels, classes)


def _cut(sizes: Sizes, most: int | None) -> Sizes:
    """Those of sequences of which so many steps are read."""
    most = most or sizes.longest
    return sizes._replace(shortest=min(sizes.shortest, most), longest=min(sizes.longest, most))

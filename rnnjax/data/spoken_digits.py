"""Spoken digits (Jackson et al., Free Spoken Digit Dataset, github.com/Jakobovski/free-spoken-digit-dataset)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar, NamedTuple

from rnnjax.config.checks import check, option, runtime
from rnnjax.data.sequence_table import SequenceTable, Target
from rnnjax.data.sequences import Found, count
from rnnjax.errors import DataError, UsageError

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
DIGITS = tuple("0123456789")
NUMBERS = range(50)
_RATE = 8000
_PAGE = "github.com/Jakobovski/free-spoken-digit-dataset"


class Clip(NamedTuple):
    """What a file's name says of a recording: its digit, its speaker, and which of theirs it is."""

    digit: str
    speaker: str
    number: int


@dataclass(frozen=True, kw_only=True)
class SpokenDigits(SequenceTable):
    """Ten digits that six speakers say 50 times each, at 8 kHz.

    A speaker who is held out is the test, and the next one validation, so that what is chosen is chosen by a voice that
    is not trained on either. Where none is held out it is the published split: numbers 0 to 4 of each speaker and digit
    are the test, and here 5 to 9 validation, of voices that are trained on.
    """

    kind: ClassVar[str] = "spoken_digits"
    withheld: ClassVar[tuple[str, ...]] = (
        *("name", "name_pattern", "target", "validation_fraction", "test_path", "test_fraction"),
        *("layout", "id_column", "time_column", "time_format", "label_column", "value_columns", "group_column"),
        *("delimiter", "encoding", "header"),
    )
    name: str = "spoken_digits"
    path: str = runtime("")
    """Folder or zip of the recordings, DIGIT_SPEAKER_NUMBER.wav."""
    hold_out: tuple[str, ...] = option((SPEAKERS[0],), of_target=True)
    """Speaker who is tested on; none: numbers 0 to 4 of all are."""
    name_pattern: str = "{label}_{group}_{number}"
    target: Target = "class"

    def load(self) -> Any:
        """The recordings, read and split.

        Raises:
          UsageError: if no place is named.
          DataError: if they are others than the published ones, or a part of them lacks a digit.
        """
        from rnnjax.data import own_sequences

        if not self.path:
            raise UsageError(f"say where the folder recordings of {_PAGE} lies, or a zip of it: --data.path PLACE")
        found = own_sequences.read(self)
        clips = _clips(found)
        parts = {name: [n for n, clip in enumerate(clips) if self.part(clip) == name] for name in _PARTS}
        for name, numbers in parts.items():
            _check_digits(found, name, [clips[number] for number in numbers])
        whole = len(SPEAKERS) * len(DIGITS) * len(NUMBERS)
        lines = [f"only {count(len(set(clips)), 'recording')} of the {whole:,} published"]
        found = dataclasses.replace(
            found,
            test=parts["test"],
            validation=parts["validation"],
            understood=[*found.understood, *lines * (len(set(clips)) < whole)],
        )
        dataset = own_sequences.dataset(found, dataclasses.replace(self, hold_out=()))
        tested = f"without {self.hold_out[0]}" if self.hold_out else "published split"
        return dataclasses.replace(dataset, name=f"{self.name}, {tested}")

    def part(self, clip: Clip) -> str:
        """The part that a recording belongs to: train, validation or test."""
        if not self.hold_out:
            return _PARTS[min(clip.number // 5, 2)]
        test = SPEAKERS.index(self.hold_out[0])
        return _PARTS[min((SPEAKERS.index(clip.speaker) - test) % len(SPEAKERS), 2)]

    def __post_init__(self):
        super().__post_init__()
        known = len(self.hold_out) <= 1 and set(self.hold_out) <= set(SPEAKERS)
        check(known, self, "hold_out", f"one of {', '.join(SPEAKERS)}, or none for the published split")


_PARTS = ("test", "validation", "train")


def _clips(found: Found) -> list[Clip]:
    """What the names of the recordings say; raises DataError at one that is none of the published."""
    if found.reading.rate != _RATE:
        got = f"recordings at {found.reading.rate:,} Hz" if found.reading.rate else "no recordings"
        raise DataError(f"{found.path}: {got}, where those of {_PAGE} are .wav at {_RATE:,} Hz; give that data set")
    clips = []
    for one in found.series:
        digit, speaker, number = PurePath(one.name).stem.split("_", 2)
        if digit not in DIGITS or speaker not in SPEAKERS or number not in map(str, NUMBERS):
            raise DataError(
                f"{one.place}: its name is not DIGIT_SPEAKER_NUMBER with a speaker among {', '.join(SPEAKERS)} and a "
                f"number below {len(NUMBERS)}, as of {_PAGE}; rename it or move it away"
            )
        if not (one.steps != one.steps[0]).any():
            raise DataError(f"{one.place}: silence, in which no digit is to be heard; copy it again, or leave it out")
        clips.append(Clip(digit, speaker, int(number)))
    return clips


def _check_digits(found: Found, part: str, clips: Sequence[Clip]) -> None:
    """Raises DataError at a part that lacks a digit: its score would not be that of ten."""
    missing = [digit for digit in DIGITS if digit not in {clip.digit for clip in clips}]
    if missing:
        speakers = " and ".join(sorted({clip.speaker for clip in clips})) or "nobody"
        raise DataError(
            f"{found.path}: {part} ({speakers}) has no recording of {', '.join(missing)}, and each part needs all ten "
            "digits; give the whole data set"
        )

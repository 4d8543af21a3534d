"""The section of a configuration that names a user's own numeric sequences."""

import dataclasses
import string
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from rnnjax.config.checks import check, choice, option, positive, rate, runtime
from rnnjax.data.augmented_sequences import AugmentedSequences

Target = Literal["auto", "class", "labels", "number", "steps"]
Layout = Literal["auto", "long", "wide"]

TARGET_OF = {"classification": "class", "multi_label": "labels", "regression": "number", "per_step": "steps"}
"""What the targets are for a task of this package, by its kind."""


@dataclass(frozen=True, kw_only=True)
class SequenceTable(AugmentedSequences):
    """Numeric sequences of one's own, each with one or several channels.

    --data.path is a long table (a row a step: an id, a time, values, a label), a wide one (a row a sequence: a column a
    step), a .ts file of sktime or aeon, or a folder with a .csv, .npy or .wav a sequence: in sub-folders that are
    called by the class, with a table of labels beside them, or with the label in each file's name. A folder may be a
    zip as it comes. Columns are found by their names unless they are said.

    Empty cells, NaN and ? are missing values: the model sees the channel's mean there, and a channel more that says so.

    A name's pattern such as {label}_{group}_{number} says where a file's name holds the label, and one such as
    {group}/{label}_{number} reads the name of its folder too; what is called group is a speaker, a patient or the like,
    all of whose files are in one split.

    Recordings are read as log-mel features, which are computed on the device.
    """

    kind: ClassVar[str] = "sequence_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path", "test_path")
    name: str = option("sequence_table", offered=False)
    """Not used: the data set is called by its file."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the sequences."""
    path: str = runtime("")
    """Your table, .ts file, folder or zip."""
    test_path: str | None = runtime(None)
    """Likewise, to test on; unset: a part of --data.path, always the same."""
    test_fraction: float = option(0.2, rare=True)
    """Share of --data.path that is tested on, where no test data are given."""
    target: Target = "auto"
    """What is learned: a class, several labels, a number, or a class a step; auto: by the data."""
    layout: Layout = option("auto", rare=True)
    """Whether a table's row is a step (long) or a sequence (wide); auto: long where ids repeat."""
    id_column: str | None = None
    """Column that tells sequences apart; unset: id, or a name like it."""
    time_column: str | None = None
    """Column that orders the steps; unset: time, or a name like it; '': none."""
    label_column: tuple[str, ...] = ()
    """Column of the labels, or several; unset: label, or a name like it."""
    value_columns: tuple[str, ...] = ()
    """Columns of the values; unset: all others that hold numbers."""
    group_column: str | None = None
    """Column of what stays in one split, such as a patient."""
    name_pattern: str = ""
    """Where a file's name holds its label: '{label}_{group}_{number}', or with folders '{group}/{label}_{number}'."""
    hold_out: tuple[str, ...] = ()
    """Groups that are tested on, and not trained on."""
    max_length: int | None = None
    """Steps of a sequence that are read, from its beginning; unset: all."""
    time_format: str | None = option(None, rare=True)
    """Format of times that are dates, such as '%d.%m.%Y %H:%M'; unset: found out."""
    delimiter: str | None = option(None, rare=True)
    """Between the fields of a table: one character, or tab; unset: found out."""
    encoding: str | None = option(None, rare=True)
    """Of a table's text; unset: UTF-8."""
    header: bool | None = option(None, rare=True)
    """Whether a table's first line names the columns; unset: found out."""
    frame_ms: float = option(25.0, rare=True)
    """Of a recording, milliseconds that a frame sees."""
    hop_ms: float = option(10.0, rare=True)
    """Of a recording, milliseconds from frame to frame."""
    mels: int = option(40, rare=True)
    """Of a recording, bands of the mel scale."""
    decibels: float | None = option(None, rare=True)
    """Of a recording, decibels that are told apart below its loudest, which is then 0; unset: as loud as it is."""
    noise: float = option(0.0, rare=True)
    """Augment: add white noise of up to this share of a recording's loudness."""
    warp_bands: float = option(0.0, rare=True)
    """Augment: raise or lower a recording's bands by up to this share of their height."""
    buckets: tuple[int, ...] = option((), rare=True)
    """Padded lengths in steps, rising; none given: by the data."""

    def load(self) -> Any:
        """The sequences, read and split."""
        from rnnjax.data import own_sequences

        return own_sequences.load(self)

    def for_task(self, task: Any) -> Self:
        """The same with what such a task learns as the target."""
        wanted = TARGET_OF.get(getattr(task, "kind", ""), "auto")
        return dataclasses.replace(self, target=wanted) if self.target == "auto" and wanted != "auto" else self

    def fitting(self, examples: int, multiple: int) -> Self:
        """The section with a batch that few sequences fill."""
        return self.with_smaller_batch(examples, multiple)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "target", Target)
        choice(self, "layout", Layout)
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        for name in ("frame_ms", "hop_ms", "mels"):
            positive(self, name)
        check(self.decibels is None or 0 < self.decibels < float("inf"), self, "decibels", "positive, and finite")
        check(0 <= self.noise < float("inf"), self, "noise", "0 or more, and finite")
        rate(self, "warp_bands")
        check(self.max_length is None or self.max_length > 0, self, "max_length", "positive")
        rising = list(self.buckets) == sorted(set(self.buckets)) and min(self.buckets, default=1) > 0
        check(rising, self, "buckets", "positive and rising")
        fields = pattern_fields(self.name_pattern)
        known = not self.name_pattern or (fields is not None and "label" in fields)
        check(known, self, "name_pattern", "a pattern that holds {label}, each name once, such as {label}_{number}")


def pattern_fields(pattern: str) -> tuple[str, ...] | None:
    """The names in braces of a file name's pattern, in their order; None where it is none."""
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError:
        return None
    names = tuple(name for _, name, _, _ in parts if name is not None)
    plain = all(name.isidentifier() for name in names) and len(set(names)) == len(names)
    return names if plain and not any(spec or conversion for _, _, spec, conversion in parts) else None

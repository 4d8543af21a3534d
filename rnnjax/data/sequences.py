"""Numeric sequences as they were read, whatever they came from, and how files of them are read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from rnnjax.errors import DataError


class Series(NamedTuple):
    """One sequence.

    Labels that are written at each step are both, those of the steps and, where they do not differ, that of the whole.

    Attributes:
      place: where it stands, for errors: ``file.csv:17``, or a file.
      name: what ``predict`` answers under.
      steps: ``[T, channels]`` float64, NaN where a value is missing; of a recording, ``[samples]`` int16.
      labels: as they are written, one for each column of labels, an empty text where a cell is empty; none where there
        are no columns, and where the labels of its steps differ.
      step_labels: as they are written, one a step, None where a step has none; None where steps have no labels of their
        own.
      group: of what stays in one split; None where nothing does.
    """

    place: str
    name: str
    steps: np.ndarray
    labels: tuple[str, ...] = ()
    step_labels: tuple[str | None, ...] | None = None
    group: str | None = None

    @property
    def by_step(self) -> bool:
        """Whether its labels can only be those of its steps."""
        return self.step_labels is not None and not self.labels


@dataclass(frozen=True)
class Reading:
    """How files are read: what was said or found out in training, so that prediction reads them alike.

    Attributes:
      layout: ``long``, ``wide``, ``files`` (a file a sequence) or ``ts``; ``auto`` before anything was read.
      rate: of recordings, samples a second; 0 of others.
      all_steps: of a wide table, whether its columns of values were found and not said: all that there are of steps, so
        that another table may have fewer or more.
      others: as of :class:`rnnjax.data.sequence_table.SequenceTable`.
    """

    layout: str = "auto"
    id_column: str | None = None
    time_column: str | None = None
    time_format: str | None = None
    group_column: str | None = None
    label_columns: tuple[str, ...] = ()
    value_columns: tuple[str, ...] = ()
    name_pattern: str = ""
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    rate: int = 0
    all_steps: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises TypeError at what is none."""
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


@dataclass
class Found:
    """Sequences that were read together.

    Attributes:
      path: where they come from.
      series: all of them.
      reading: how others like these are read.
      channels: their names.
      label_names: what the labels are called, one for each.
      test: numbers of the sequences that the data themselves keep for testing.
      validation: likewise for validation.
      target: what the data themselves say of the targets; empty where they say nothing.
      understood: lines for the user.
    """

    path: Path
    series: list[Series]
    reading: Reading
    channels: tuple[str, ...]
    label_names: tuple[str, ...] = ()
    test: Sequence[int] = ()
    validation: Sequence[int] = ()
    target: str = ""
    understood: list[str] = field(default_factory=list)

    def __post_init__(self):
        if not self.series:
            raise DataError(f"{self.path}: there is no sequence in it")


LARGEST = 1e30
"""Larger values than this, whose squares float32 cannot hold by far, are no measurements."""


def check_values(steps: np.ndarray, place: str) -> None:
    """Raises DataError at a step whose values are infinite, or too large to compute with."""
    wrong = np.abs(steps) > LARGEST
    if wrong.any():
        step = int(wrong.reshape(len(steps), -1).any(1).argmax())
        value = steps[step][wrong[step]].flat[0] if steps.ndim > 1 else steps[step]
        raise DataError(f"{place}: {value:g} at step {step + 1}; leave empty (NaN) what was not measured")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"

"""Answers to inputs, a chunk at a time, each with its place, or why there is none."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from rnnjax.data import Preprocess, Spec
from rnnjax.data.reading import Input
from rnnjax.errors import DataError
from rnnjax.tasks import Task


class Answers(Protocol):
    """What is needed to answer, which a :class:`rnnjax.Predictor` has."""

    @property
    def task(self) -> Task:
        """What outputs mean."""
        ...

    @property
    def spec(self) -> Spec:
        """Of the data that the model was trained on."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """From raw input to stored arrays."""
        ...

    @property
    def chunk(self) -> Any:  # int; a property that is computed once is none to a type checker
        """Inputs that are answered at once."""
        ...

    def stored(self, raw: Any) -> dict[str, Any]:
        """Raw inputs as they are stored; raises DataError at what the model does not read."""
        ...

    def outputs(self, stored: Mapping[str, Any]) -> Any:
        """The model's outputs for stored arrays."""
        ...


@dataclass(frozen=True)
class Asked:
    """What is asked beside the answer itself.

    Attributes:
      top: so many of the most probable classes, in place of the probability of each; 0: each.
      threshold: ``P``: where no class has that probability, the answer is ``unsure``; ``NAME=P``, of two classes: that
        one where it has it, else the other.
    """

    top: int = 0
    threshold: str | None = None


@dataclass(frozen=True)
class Prediction:
    """An answer, or why there is none.

    Attributes:
      source: the file, or the line.
      row: the answer, as :meth:`rnnjax.tasks.Task.rows` gives it; None where there is none.
      error: what was wrong with the input, or None.
      place: where the input stands: the file, its row or line.
      unknown: of a text, the share of its tokens that the model does not know; None where there are none.
    """

    source: str
    row: Mapping[str, Any] | None = None
    error: str | None = None
    place: str = ""
    unknown: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        place = {"place": self.place} if self.place not in ("", self.source) else {}
        return {"input": self.source, **place, **({"error": self.error} if self.row is None else self.row)}


def predict(predictor: Answers, inputs: Iterable[Input], asked: Asked | None = None) -> Iterator[Prediction]:
    """Answers every input that can be read, in order, and says why it does not answer the others.

    Args:
      predictor: what :func:`rnnjax.load` gave.
      inputs: what to answer, each read when its turn comes; no more than two chunks of them are held.
      asked: what else is wanted: then a row has all that the task tells, and what the preprocessing tells of inputs.
    """
    rest, before = iter(inputs), None
    with ThreadPoolExecutor(1) as devices:  # they are at work for a chunk while the next is read, and the last written
        while part := list(itertools.islice(rest, predictor.chunk)):
            read = [_read(function) for _, function in part]
            told = _begun(predictor, [value for value, error in read if error is None], asked, devices)
            if before is not None:
                yield from _finished(*before)
            before = part, read, told
        if before is not None:
            yield from _finished(*before)


_Answer = tuple[Mapping[str, Any] | None, str | None, float | None]
"""A row, or why there is none, and the share of unknown tokens."""


def _finished(
    part: list[Input], read: list[tuple[Any, str | None]], told: Callable[[], list[_Answer]]
) -> Iterator[Prediction]:
    answers = iter(told())
    for (name, function), (_, error) in zip(part, read, strict=True):
        place = getattr(function, "place", name)
        row, wrong, unknown = (None, error, None) if error is not None else next(answers)
        if error is None and wrong is not None:  # what is read knows where it stands, and what is encoded does not
            wrong = f"{place}: {wrong}"
        yield Prediction(name, row, wrong, place, unknown)


def _begun(predictor: Answers, raw: list[Any], asked: Asked | None, devices: Executor) -> Callable[[], list[_Answer]]:
    """Begins to answer inputs, and gives what waits for it; one that cannot be encoded costs the others nothing."""
    if not raw:
        return list
    try:
        stored = predictor.stored(raw)
    except DataError as error:
        said = str(error)
        if len(raw) == 1:
            return lambda: [(None, said, None)]
        single = [_begun(predictor, [one], asked, devices) for one in raw]
        return lambda: [answer for told in single for answer in told()]
    outputs = devices.submit(predictor.outputs, stored)
    return lambda: _told(predictor, raw, stored, outputs.result(), asked)


def _told(
    predictor: Answers, raw: list[Any], stored: Mapping[str, Any], made: Any, asked: Asked | None
) -> list[_Answer]:
    outputs, unknown = predictor.task.unpadded(made, stored.get("lengths")), None
    if asked is None:
        rows = predictor.task.rows(outputs, predictor.spec)
    else:
        rows = predictor.task.detailed(outputs, predictor.spec, top=asked.top, threshold=asked.threshold)
        unknown = predictor.preprocess.unknown(stored)
    answered = predictor.preprocess.answered
    if unknown is None:
        return [(answered(one, row), None, None) for one, row in zip(raw, rows, strict=True)]
    shares = [share if share == share else None for share in unknown.tolist()]  # NaN is not itself
    found = zip(raw, rows, shares, strict=True)
    return [({**answered(one, row), "unknown": share}, None, share) for one, row, share in found]


def _read(function: Any) -> tuple[Any, str | None]:
    try:
        return function(), None
    except DataError as error:
        return None, str(error)

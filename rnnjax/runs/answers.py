"""Answers as lines: for a reader, as CSV or as JSON, printed or in a file."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from rnnjax import terminal
from rnnjax.errors import UsageError
from rnnjax.files import write_file
from rnnjax.runs.answering import Prediction
from rnnjax.tasks import Task

Form = Literal["plain", "csv", "jsonl"]

_UNKNOWN = 0.5
"""Share of a text's tokens above which its answer says little."""

_ONE = {"labels": "label", "probabilities": "probability"}
"""What a value is called that is one of several."""


def form_of(file: Path | None, *, as_csv: bool, as_json: bool) -> Form:
    """How answers are written.

    Args:
      file: to which they go; None: to the standard output.
      as_csv, as_json: what was asked for.

    Raises:
      UsageError: if that cannot be.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json-lines are two forms of the answers; give one")
    if file is None:
        return "csv" if as_csv else "jsonl" if as_json else "plain"
    forms: dict[str, Form] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    form = forms.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"--to {file}: answers are written as .csv or .jsonl; let its name end so")
    if (as_csv and form != "csv") or (as_json and form != "jsonl"):
        raise UsageError(f"--to {file}: its name says the form of the answers already; leave out the option that does")
    if file.is_dir():
        raise UsageError(f"--to {file} is a folder; name a file in it")
    if not file.parent.is_dir():
        raise UsageError(f"--to {file}: there is no folder {file.parent}")
    return form


def lines(answers: Iterable[Prediction], task: Task, form: Form) -> Iterator[str]:
    """The lines of answers without their ends; where an input could not be read there is no plain one, but of a task
    whose answers are lines themselves, which stay side by side with their sources, an empty one.
    """
    if form == "jsonl":
        return (json.dumps(answer.to_json()) for answer in answers)
    return _plain(answers, task) if form == "plain" else _csv(answers, stepwise=task.stepwise)


def _plain(answers: Iterable[Prediction], task: Task) -> Iterator[str]:
    begun = False
    for answer in answers:
        if answer.row is not None:
            if not begun and (heading := task.heading(answer.row)):
                yield heading
            begun = True
            yield task.shown(answer.row, answer.source)
        elif task.writes and re.search(r"(:|, row )\d+$", answer.place):  # a line or a row, and no whole file
            yield ""


def _csv(answers: Iterable[Prediction], *, stepwise: bool) -> Iterator[str]:
    """A row an answer, or one a step: ``place``, what is answered, and ``error``."""
    names: list[str] | None = None
    waiting: list[Prediction] = []  # which columns there are is known with the first answer
    for answer in answers:
        waiting.append(answer)
        if names is None and answer.row is not None:
            names = list(_rows(answer, stepwise)[0])
            yield _line(names)
        if names is not None:
            yield from (_line([row.get(name) for name in names]) for one in waiting for row in _rows(one, stepwise))
            waiting.clear()
    if names is None:
        yield _line(["place", "error"])
        yield from (_line([answer.place or answer.source, answer.error]) for answer in waiting)


def _rows(answer: Prediction, stepwise: bool) -> list[dict[str, Any]]:
    begin, end = {"place": answer.place or answer.source}, {"error": answer.error}
    if answer.row is None:
        return [begin | end]
    if not stepwise:
        return [begin | _flat(answer.row) | end]
    steps = {_ONE.get(name, name): part for name, part in answer.row.items() if isinstance(part, list)}
    rest = {name: part for name, part in answer.row.items() if not isinstance(part, list)}
    columns = zip(*steps.values(), strict=True)
    rows = [{"step": number, **dict(zip(steps, part, strict=True))} for number, part in enumerate(columns, 1)]
    return [begin | rest | row | end for row in rows or [{}]]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row by column: ``p(NAME)`` of probabilities by name, ``NAME K`` of several numbers."""
    made: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            made |= {f"p({key})": part for key, part in value.items()}
        elif name == "top":
            for rank, one in enumerate(value, 1):
                made |= {f"{key} {rank}": part for key, part in one.items()}
        elif isinstance(value, list) and all(isinstance(part, str) for part in value):
            made[name] = "|".join(value)
        elif isinstance(value, list):
            made |= {f"{name} {rank}": part for rank, part in enumerate(value, 1)}
        else:
            made[name] = value
    return made


_out = io.StringIO()
_writer = csv.writer(_out, lineterminator="\r\n")  # with which it quotes a carriage return too


def _line(values: Iterable[Any]) -> str:
    _out.seek(0)
    _out.truncate()
    _writer.writerow([f"{value:.8g}" if isinstance(value, float) else value for value in values])
    return _out.getvalue().removesuffix("\r\n")


class Told:
    """Says on stderr what is wrong with inputs, as their answers pass by.

    Attributes:
      count, failed: of the inputs so far, and of those that could not be read.
    """

    def __init__(self) -> None:
        self.count = self.failed = self._strange = self._empty = self._cut = 0
        self._first = self._first_empty = self._first_cut = ""

    def watched(self, answers: Iterable[Prediction]) -> Iterator[Prediction]:
        """The same answers."""
        for answer in answers:
            self.count += 1
            if answer.row is None:
                self.failed += 1
                terminal.tell(f"error: {answer.error}")
            if answer.unknown is not None and answer.unknown > _UNKNOWN:
                self._strange += 1
                self._first = self._first or answer.place
            if answer.row is not None and answer.row.get("unknown", 0) is None:  # a share of no tokens is none
                self._empty += 1
                self._first_empty = self._first_empty or answer.place
            if answer.row is not None and answer.row.get("unread"):
                self._cut += 1
                self._first_cut = self._first_cut or f"{answer.place[:80]}, of {answer.row['unread']:,}"
            yield answer

    def end(self) -> int:
        """Says what is to be said of all; returns the exit code."""
        if self._strange:
            terminal.note(
                f"of {self._strange:,} of {self.count:,} texts the model knows less than half of the tokens, first "
                f"{self._first[:80]}: what it answers to them says little"
            )
        if self._empty:
            terminal.note(
                f"{self._empty:,} of {self.count:,} texts hold no word, first {self._first_empty[:80]}: what is "
                "answered to them is what a text without words gets"
            )
        if self._cut:
            terminal.note(
                f"of {self._cut:,} of {self.count:,} texts the last tokens are not read, first of {self._first_cut}: "
                "they are longer than the model reads, and answered by their beginning"
            )
        return 1 if self.failed else 0


def write(answers: Iterable[Prediction], task: Task, form: Form, file: Path | None) -> int:
    """Prints answers as they come, or writes them to a file, which is there whole or not at all; the exit code."""
    told = Told()
    made = lines(told.watched(answers), task, form)
    if file is None:
        for one in made:
            terminal.answer(one)
        return told.end()
    write_file(file, _to(made))
    code = told.end()
    failed = f", {told.failed:,} of them errors" if told.failed else ""
    terminal.tell(f"answers: {told.count:,} in {file}{failed}")
    return code


def _to(made: Iterable[str]) -> Callable[[Path], None]:
    def to(aside: Path) -> None:
        with aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            out.writelines(f"{one}\n" for one in made)

    return to

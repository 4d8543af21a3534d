"""Which columns of a table hold the ids, times, values, labels and groups of sequences."""

import dataclasses
import difflib
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data import sequence_guesses as guesses
from rnnjax.data.row_numbers import number_rows
from rnnjax.data.sequences import Reading, count
from rnnjax.data.tables import Table
from rnnjax.errors import DataError

ID_COLUMNS = (
    "id",
    "series_id",
    "sequence_id",
    "seq_id",
    "sequence",
    "series",
    "case_id",
    "case",
    "sample_id",
    "uid",
)
"""Columns that are taken for the ids when none is named; the first that a table has."""
TIME_COLUMNS = ("time", "timestamp", "datetime", "date", "t", "step", "time_step", "timestep", "frame", "index", "ds")
"""Likewise for the times."""
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "activity", "tags")
"""Likewise for the labels."""
_ID_NAME = re.compile(r"(?i:[ _.-]id)$|[a-z]I[dD]$")
"""Names such as patient_id and userId."""
_SHOWN, _GLANCE = 8, 1000
_MOST_CLASSES = 100
"""So many different whole numbers, or fewer, in a first column without a name are classes."""


def found(table: Table, wanted: str | None, usual: Sequence[str], option: str) -> str | None:
    """The column that was named, or the first of the ``usual`` that there is; raises DataError at a name of none."""
    if wanted is None:
        lower = {name.strip().lower(): name for name in reversed(table.columns)}
        return next((lower[name] for name in usual if name in lower), None)
    if wanted not in table.columns:
        near = difflib.get_close_matches(wanted, table.columns, n=1)
        another = f"name another by {option} in training, or rename the one that holds it"  # new data are read so too
        hint = f"; did you mean {near[0]!r}?" if near else f"; {another}"
        raise DataError(f"{table.path}: no column {wanted!r}; {named(table)}{hint}")
    return wanted


def ids(table: Table, reading: Reading) -> str | None:
    """The column of the ids: by its name, or the only one that is called the id of something and repeats."""
    option = "--data.id-column"
    known = found(table, reading.id_column, ID_COLUMNS, option)
    others = [name for name in table.columns if _ID_NAME.search(name.strip()) and _repeats(table, name)]
    return known or (others[0] if len(others) == 1 and reading.group_column != others[0] else None)


def _repeats(table: Table, name: str) -> bool:
    return 1 < len(set(map(cells.label, table.values[name]))) < len(table.places)


def named(table: Table) -> str:
    """The columns of a table, in words."""
    shown = ", ".join(map(repr, table.columns[:_SHOWN]))
    return f"the columns are {shown}" + (", ..." if len(table.columns) > _SHOWN else "")


def label_columns(table: Table, reading: Reading, *, training: bool) -> tuple[str, ...]:
    """The columns of the labels; none where a table without them is only to be answered."""
    if training or all(name in table.columns for name in reading.label_columns):
        if reading.label_columns:
            return tuple(str(found(table, name, (), "--data.label-column")) for name in reading.label_columns)
        guessed = found(table, None, LABEL_COLUMNS, "--data.label-column") if training else None
        guessed = table.columns[0] if training and guessed is None and label_first(table) else guessed
        if guessed is None and training and reading.layout != "files":
            wanted = " or ".join(LABEL_COLUMNS[:5])
            raise DataError(
                f"{table.path}: no column is called {wanted}; {named(table)}; name that of the labels by "
                f"--data.label-column{_such_as(table, reading)}"
            )
        return () if guessed is None else (guessed,)
    return ()


def label_first(table: Table) -> bool:
    """Whether a table without names of columns is as those of the UCR archive: a class's number, then the values.

    Dau et al. 2018, "The UCR Time Series Archive". All cells are numbers, and the first of each row is one of few whole
    ones, which come again.
    """
    if table.header or len(table.columns) < 3:
        return False
    first, *others = (cells.numbers(table.values[name]) for name in table.columns)
    if any(len(wrong) for _, wrong in (first, *others)):
        return False
    labels = first[0]
    different = len(np.unique(labels))
    return bool((labels == np.round(labels)).all()) and 1 < different <= min(_MOST_CLASSES, len(labels) / 2)


def _such_as(table: Table, reading: Reading) -> str:
    guess = guesses.label(table, (reading.time_column, reading.group_column), reading.id_column)
    return "" if guess is None else f", such as --data.label-column {shlex.quote(guess)}"


@dataclass(frozen=True)
class Values:
    """The columns of values.

    Attributes:
      names: in their order.
      array: ``[rows, columns]`` float64, NaN where a value is missing.
      aside: lines of columns that were left aside.
    """

    names: tuple[str, ...]
    array: np.ndarray
    aside: tuple[str, ...] = ()


def values(table: Table, reading: Reading, taken: Sequence[str | None]) -> Values:
    """The values of a table: the columns that were named, or all that hold numbers.

    Args:
      table: the table.
      reading: its ``value_columns`` are named, or none.
      taken: columns that are something else.

    Raises:
      DataError: at a cell that is no number in a column of numbers, and where no column holds numbers.
    """
    names = [str(found(table, name, (), "--data.value-columns")) for name in reading.value_columns]
    asked, text, empty = bool(names), [], []
    free = [] if asked else [name for name in table.columns if name not in taken]
    numbered = [name for name in free if _numbers_rows(table, name, reading)]
    kept, columns = [], []
    for name in names or [name for name in free if name not in numbered]:
        made, wrong = cells.numbers(table.values[name])
        there = len(made) - int(np.isnan(made).sum())
        if len(wrong) and (asked or there >= len(wrong)):
            row = int(wrong[0])
            raise cells.refused(table.places[row], name, table.values[name][row])
        if len(wrong):
            text.append(name)
        elif not there and not asked:
            empty.append(name)
        else:
            kept.append(name)
            columns.append(made)
    if not kept:
        raise DataError(f"{table.path}: no column of values holds numbers; {named(table)}{_commas(table, text)}")
    why = {"text" + _commas(table, text): text, "empty": empty, "the numbers of the rows": numbered}
    aside = [f"{_listed(which)} left aside, {what}" for what, which in why.items() if which]
    return Values(tuple(kept), np.stack(columns, 1), tuple(aside))


def with_its_steps(table: Table, reading: Reading) -> Reading:
    """How a wide table is read that has fewer or more columns of steps than the training's, whose names were found.

    The last ones may be missing where columns have names, and more may follow that are called like them but for their
    numbers. Of a table without names it cannot be told which column is missing.
    """
    known = list(reading.value_columns)
    there = [name for name in known if name in table.columns]
    if len(there) < len(known):
        begins = bool(table.header) and bool(there) and there == known[: len(there)]
        return dataclasses.replace(reading, value_columns=tuple(there)) if begins else reading
    alike = set(map(_without_numbers, known))
    taken = {reading.id_column, reading.group_column, *reading.label_columns, *known}
    more = [name for name in table.columns if name not in taken and _without_numbers(name) in alike]
    return dataclasses.replace(reading, value_columns=(*known, *more)) if len(alike) == 1 else reading


def _commas(table: Table, names: Sequence[str]) -> str:
    """What to do where a column of text holds numbers with commas; elsewhere nothing."""
    for name in names:
        held = [str(value).strip() for value in table.values[name][:_GLANCE] if value is not None]
        said = [cells.with_commas(text) for text in held if cells.number(text) is None]
        if said and all(said):
            return f"; {name!r} holds {held[0]!r}: {said[0]}"
    return ""


def _numbers_rows(table: Table, name: str, reading: Reading) -> bool:
    """Whether a column holds the numbers of the rows; a file that is one sequence may well count its steps."""
    first = name == table.columns[0] and name in ("", "column1")
    found = [cells.number(value) for value in table.values[name]]
    return number_rows(found, name, nameless=table.header, first=first, long=reading.layout != "files")


def check_wide(table: Table, reading: Reading, ids: str | None) -> None:
    """Refuses a table whose rows have times, and so may be steps, where nothing tells which are of one sequence."""
    timed = reading.time_column
    if timed is None:
        timed = found(table, None, [name for name in TIME_COLUMNS if name != "index"], "")
    if reading.layout == "auto" and timed and ids is not None:
        raise DataError(
            f"{table.path}: its rows have times in {timed!r}, and each has an id of its own in {ids!r}, so that a row "
            f"may be a sequence of one step or a sequence; {named(table)}; say which: --data.layout long, or "
            "--data.layout wide with --data.value-columns"
        )
    if reading.layout == "auto" and timed:
        raise DataError(
            f"{table.path}: its rows have times in {timed!r} and so are steps, but no column is called "
            f"{' or '.join(ID_COLUMNS[:3])}; {named(table)}; name the one that tells sequences apart by "
            "--data.id-column, or say --data.layout wide where a row is a sequence"
        )
    if ids is not None:
        return
    alike = Counter(map(_without_numbers, table.columns))
    alone = [name for name in table.columns if alike[_without_numbers(name)] == 1]  # and none of steps t0, t1, ...
    run = next((name for name in alone if _in_runs(table, name, reading)), None)
    if reading.layout == "auto" and run is not None:
        steps = f"--data.id-column {shlex.quote(run)}{_label_too(table, reading, run)}"
        raise DataError(
            f"{table.path}: rows with the same {run!r} follow each other, so that a row may be a step of a sequence or "
            f"a sequence; {named(table)}; say which: {steps}, or --data.layout wide"
        )


def _label_too(table: Table, reading: Reading, run: str) -> str:
    """The option that will be asked for next, so that it is asked for at once."""
    known = reading.label_columns or found(table, None, LABEL_COLUMNS, "")
    guess = None if known else guesses.label(table, (reading.time_column, reading.group_column), run)
    return "" if guess is None else f" --data.label-column {shlex.quote(guess)}"


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _in_runs(table: Table, name: str, reading: Reading) -> bool:
    """Whether each value of a column, which is none of labels or groups, stands in one run of rows."""
    label = found(table, None, LABEL_COLUMNS, "")
    labels = reading.label_columns or (() if label is None else (label,))
    if name in (*labels, reading.group_column):
        return False
    values = [cells.label(value) for value in table.values[name]]
    runs = sum(1 for _ in itertools.groupby(values))
    return None not in values and 1 < len(set(values)) == runs <= len(values) / 2


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return f"{count(len(names), 'column')} ({shown})"

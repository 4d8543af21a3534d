"""Sequences in tables: a row a step (long), a row a sequence (wide), or a table a sequence."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data import sequence_columns as columns
from rnnjax.data import sequence_guesses as guesses
from rnnjax.data import split_columns
from rnnjax.data import times as time_columns
from rnnjax.data.sequences import Found, Reading, Series, count
from rnnjax.data.tables import Table
from rnnjax.errors import DataError

_ID, _TIME, _GROUP = "--data.id-column", "--data.time-column", "--data.group-column"


def read(table: Table, reading: Reading, *, training: bool, labelled: bool = False) -> Found:
    """The sequences of a table, long or wide; a table whose ids repeat is long.

    Args:
      table: the table.
      reading: what was said, or found out in training.
      training: whether its columns are to be found out, and labels are needed.
      labelled: whether a table that is one sequence has its label from elsewhere, and none in it.

    Raises:
      DataError: where columns or cells are not what they should be.
    """
    if reading.layout == "files":
        return _one(table, reading, training=training, labelled=labelled)
    ids = columns.ids(table, reading) if reading.layout != "wide" else None
    if reading.layout == "wide":
        ids = reading.id_column if reading.id_column in table.columns else None
        return _wide(table, reading, ids, training=training)
    repeats = ids is not None and len(set(map(cells.label, table.values[ids]))) < len(table.places)
    if reading.layout == "long" or repeats:
        if ids is None:
            raise DataError(
                f"{table.path}: a long table needs a column that tells sequences apart; {columns.named(table)}; "
                f"name one by {_ID}"
            )
        return _long(table, dataclasses.replace(reading, id_column=ids), training=training)
    columns.check_wide(table, reading, ids)
    return _wide(table, dataclasses.replace(reading, id_column=ids), ids, training=training)


def _long(table: Table, reading: Reading, *, training: bool) -> Found:
    """A row a step: sequences in the order of their first rows, their steps in the order of time."""
    ids = [cells.label(value) for value in table.values[str(reading.id_column)]]
    if None in ids:
        raise DataError(f"{table.places[ids.index(None)]}: {reading.id_column!r} is empty; each row needs its id")
    timed, times, form = _times(table, reading, training=training)
    group = columns.found(table, reading.group_column, (), _GROUP) if training else None
    labels = columns.label_columns(table, reading, training=training)
    found = columns.values(table, reading, (reading.id_column, timed, group, *labels))
    rows: dict[str | None, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, []).append(row)
    order, said = _in_time(table, list(rows.values()), times, timed)
    texts = {name: [cells.label(value) for value in table.values[name]] for name in labels}
    varies = [name for name in labels if any(len(_said(texts[name], chosen)) > 1 for chosen in order)]
    if varies and len(labels) > 1:
        raise DataError(f"{table.path}: {varies[0]!r} differs within a sequence; name it alone by --data.label-column")
    groups = None if group is None else _groups(table, group, order)
    series = [
        Series(
            table.places[min(chosen)],
            f"{table.path}: {name}",
            found.array[chosen],
            () if varies else _labels(table, labels, texts, chosen, training),
            tuple(texts[labels[0]][row] for row in chosen) if len(labels) == 1 else None,
            None if groups is None else groups[number],
        )
        for number, (name, chosen) in enumerate(zip(rows, order, strict=True))
    ]
    settled = dataclasses.replace(
        reading, layout="long", time_column=timed, label_columns=labels, value_columns=found.names, group_column=group
    )
    settled = dataclasses.replace(settled, time_format=form)
    parts = [f"ids in {reading.id_column!r}", f"times in {timed!r}" if timed else "steps in the order of the rows"]
    parts += [f"labels in {', '.join(map(repr, labels))}"] * bool(labels) + [f"groups in {group!r}"] * bool(group)
    lines = [
        *table.understood,
        f"long table: {', '.join(parts)}, {_values(found.names)}",
        *found.aside,
        *said,
        *split_columns.said(table),
    ]
    if timed is None and (rise := guesses.rising(found.names, found.array, order)):
        lines.append(
            f"{rise[0]!r} rises with every step, and is read as a value; {_TIME} {rise[0]} reads it as the times"
        )
    return Found(table.path, series, settled, found.names, labels, understood=lines, target="steps" if varies else "")


def _times(table: Table, reading: Reading, *, training: bool) -> tuple[str | None, np.ndarray | None, str | None]:
    """The column of times, and these as numbers or in seconds; None: there is none. And the format of dates, if any."""
    if reading.time_column == "":
        return None, None, None
    name = columns.found(table, reading.time_column, columns.TIME_COLUMNS if training else (), _TIME)
    if name is None:
        return None, None, None
    values = table.values[name]
    # Numbers are never dates here: what they are counted in is nothing to a sequence, and 20240531 may be a row's.
    numbers = time_columns.NUMBER if not len(cells.numbers(values)[1]) else None
    found = time_columns.parsed(values, table.places, name, reading.time_format or numbers)
    form = found.format if found.format not in (time_columns.ISO, time_columns.NUMBER) else None
    if found.values.dtype.kind == "f":
        return name, found.values, form
    return name, found.values.astype(np.int64) / 1e6, form


def _in_time(
    table: Table, rows: Sequence[list[int]], times: np.ndarray | None, column: str | None
) -> tuple[list[list[int]], list[str]]:
    """Rows of each sequence in the order of their times, and what is to be said of these."""
    if times is None:
        return list(rows), []
    order, moved, uneven = [], 0, 0
    for chosen in rows:
        sort = np.argsort(times[chosen], kind="stable")
        moved += bool((np.diff(sort) < 0).any())
        in_order = [chosen[place] for place in sort]
        steps = np.diff(times[in_order])
        if (steps == 0).any():
            first = int((steps == 0).argmax())
            later = in_order[first + 1]
            raise DataError(
                f"{table.places[later]}: the time {table.values[str(column)][later]!r} in {column!r} stands twice in a "
                f"sequence, also at {table.places[in_order[first]]}; leave one out, or name other columns by "
                f"{_TIME} and {_ID}"
            )
        uneven += len(steps) > 1 and bool(np.ptp(steps) > 1e-3 * np.abs(steps).mean())
        order.append(in_order)
    said = [f"{count(moved, 'sequence')} of {len(rows):,} put in the order of {column!r}"] * bool(moved)
    if uneven:
        said.append(f"{count(uneven, 'sequence')} of {len(rows):,} with uneven times, read as if they were even")
    return order, said


def _groups(table: Table, column: str, order: Sequence[list[int]]) -> list[str | None]:
    made = []
    for chosen in order:
        names = {cells.label(table.values[column][row]) for row in chosen}
        if len(names) > 1:
            raise DataError(f"{table.places[chosen[0]]}: a sequence is of one group, but {column!r} differs within it")
        made.append(names.pop())
    return made


def _wide(table: Table, reading: Reading, ids: str | None, *, training: bool) -> Found:
    """A row a sequence, a column a step; it ends with the last cell that is not empty."""
    labels = columns.label_columns(table, reading, training=training)
    group = columns.found(table, reading.group_column, (), _GROUP) if training else None
    all_steps = reading.all_steps or not reading.value_columns
    reading = columns.with_its_steps(table, reading) if reading.all_steps else reading
    found = columns.values(table, reading, (ids, group, *labels))
    if len(found.names) < 2:
        raise DataError(
            f"{table.path}: a wide table has a column a step, and this one has {count(len(found.names), 'column')} of "
            f"numbers; {columns.named(table)}; of a long table, name the column that tells sequences apart by {_ID}"
        )
    texts = {name: [cells.label(value) for value in table.values[name]] for name in labels}
    there = ~np.isnan(found.array)
    ends = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), 0)
    series = [
        Series(
            place,
            place if ids is None else f"{table.path}: {cells.label(table.values[ids][row])}",
            found.array[row, : ends[row], None],
            _labels(table, labels, texts, [row], training),
            None,
            None if group is None else cells.label(table.values[group][row]),
        )
        for row, place in enumerate(table.places)
    ]
    settled = dataclasses.replace(
        reading, layout="wide", id_column=ids, label_columns=labels, value_columns=found.names, group_column=group
    )
    settled = dataclasses.replace(settled, all_steps=all_steps)
    short = int((ends < there.shape[1]).sum())
    parts = [f"labels in {', '.join(map(repr, labels))}"] * bool(labels) + [f"groups in {group!r}"] * bool(group)
    steps = f"{len(found.names):,} steps, {found.names[0]!r} to {found.names[-1]!r}"
    lines = [*table.understood, f"wide table: {', '.join([*parts, steps])}", *found.aside, *split_columns.said(table)]
    guessed = training and not reading.label_columns and labels == table.columns[:1] and not table.header
    if guessed:
        lines.append(
            f"no column has a name: the first, {count(len(set(texts[labels[0]])), 'different whole number')}, is taken "
            "for the class; --data.label-column says it otherwise"
        )
    lines += [f"{count(short, 'sequence')} of {len(series):,} end before the last column, at empty cells"] * bool(short)
    target = "class" if guessed else ""
    return Found(table.path, series, settled, ("value",), labels, understood=lines, target=target)


def _one(table: Table, reading: Reading, *, training: bool, labelled: bool) -> Found:
    """A table that is one sequence; a column of labels in it is of its steps."""
    every = range(len(table.places))
    timed, times, form = _times(table, reading, training=training)
    labels = () if labelled else columns.label_columns(table, reading, training=training)
    found = columns.values(table, reading, (timed, *labels))
    (order,), said = _in_time(table, [list(every)], times, timed)
    of_steps = tuple(cells.label(table.values[labels[0]][row]) for row in order) if labels else None
    different = {label for label in of_steps or () if label is not None}
    whole = (next(iter(different), ""),) if labels and len(different) < 2 else ()
    series = Series(str(table.path), str(table.path), found.array[order], whole, of_steps)
    settled = dataclasses.replace(
        reading, layout="files", time_column=timed, label_columns=labels, value_columns=found.names, time_format=form
    )
    parts = [f"times in {timed!r}"] * bool(timed) + [f"labels of steps in {name!r}" for name in labels[:1]]
    lines = [*table.understood, ", ".join([*parts, _values(found.names)]), *found.aside, *said]
    target = "steps" if series.by_step else ""
    return Found(table.path, [series], settled, found.names, labels, understood=lines, target=target)


def _said(texts: Sequence[str | None], rows: Sequence[int]) -> set[str]:
    """The labels that rows have."""
    return {text for row in rows if (text := texts[row]) is not None}


def _labels(
    table: Table, columns: Sequence[str], texts: dict[str, list[str | None]], rows: Sequence[int], training: bool
) -> tuple[str, ...]:
    """The labels of a sequence, which need not be repeated in each of its rows; empty texts where there are none."""
    made: list[Any] = [next(iter(_said(texts[name], rows)), None) for name in columns]
    if None in made and not training:
        return ()
    return tuple(text or "" for text in made)


def _values(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    return f"{count(len(names), 'channel')} ({shown})"

"""Tables of a user's own, of any kind, as columns of values: one reader for training, evaluation and prediction.

Nothing is guessed about a row that does not fit, nothing is skipped without a word, and every refusal names the file
and the line or row.
"""

import contextlib
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnjax.data import delimited, json_tables, parquet_tables
from rnnjax.data.text_lines import plain_suffix
from rnnjax.errors import DataError

SUFFIXES = (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet")
"""What a table's name ends in; all but the last also with ``.gz``."""

_DELIMITED = (".csv", ".tsv", ".tab")


@dataclass(frozen=True)
class Table:
    """A table, column by column.

    Attributes:
      path: where it comes from.
      columns: their names, all different, in the file's order.
      values: by column, in the order of the rows: strings of a delimited file; JSON's or Parquet's own values else;
        None where nothing stands.
      places: where each row stands: ``file.csv:17``, or ``file.parquet, row 3``.
      understood: what was found out about the file or said by options, a line each; of a plain file, nothing.
      header: whether the file names its columns.
    """

    path: Path
    columns: tuple[str, ...]
    values: Mapping[str, Sequence[Any]]
    places: Sequence[str]
    understood: tuple[str, ...] = ()
    header: bool = True

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Rows:
    """A table that is read row by row, where it may be larger than memory.

    Attributes:
      path, columns, understood, header: as of :class:`Table`.
      rows: where each stands, and a value a column.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Generator[tuple[str, Sequence[Any]], None, None]
    understood: tuple[str, ...] = ()
    header: bool = True


def is_table(path: Path) -> bool:
    """Whether a file's name ends as a table's does."""
    return plain_suffix(path) in SUFFIXES


def read_table(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, header: bool | None = None
) -> Table:
    """Reads a whole table; see :func:`open_table`.

    Raises:
      DataError: also if it has no row.
    """
    table = open_table(path, delimiter=delimiter, encoding=encoding, header=header, ahead=None)
    columns: list[list[Any]] = [[] for _ in table.columns]
    places = []
    with contextlib.closing(table.rows):
        for place, row in table.rows:
            places.append(place)
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    if not places:
        raise DataError(f"{path}: there is no row in it")
    values = dict(zip(table.columns, columns, strict=True))
    return Table(Path(path), table.columns, values, places, table.understood, table.header)


def open_table(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    ahead: int | None = 1000,
) -> Rows:
    """Opens a table, whose rows are then read one by one.

    Args:
      path: ``.csv``, ``.tsv``, ``.tab``, ``.json`` (an array of objects, or an object a line), ``.jsonl``, ``.ndjson``,
        these also with ``.gz``, or ``.parquet``; with ``delimiter`` a file of any other name is a delimited one.
      delimiter: of the fields, one character or ``tab``; None: found out among comma, semicolon, tab and bar.
      encoding: of text; None: UTF-8, or UTF-16 where the first bytes say so.
      header: whether the first line names the columns; None: it does, unless it is plainly a row of data. Without
        names the columns are ``column1``, ``column2`` and so on.
      ahead: of how many objects of JSON the keys are columns; None: of all, which are then in memory.

    Raises:
      DataError: if it cannot be read; the rows raise it too.
      UsageError: if delimiter or encoding cannot be one.
    """
    path = Path(path)
    suffix = plain_suffix(path)
    if suffix == ".parquet":
        columns, rows = parquet_tables.read(path)
        return Rows(path, _different(path, columns), rows)
    if suffix in (".json", ".jsonl", ".ndjson"):
        columns, rows = json_tables.read(path, encoding, array=suffix == ".json", ahead=ahead)
        return Rows(path, _different(path, columns), rows)
    if suffix not in _DELIMITED and delimiter is None:
        known = ", ".join(SUFFIXES)
        raise DataError(
            f"{path}: not a kind of file known here ({known}); "
            "a delimited file of another name is read with --data.delimiter"
        )
    opened = delimited.read(path, suffix, delimiter, encoding, header)
    return Rows(path, _different(path, opened.columns), opened.rows, opened.understood, opened.header)


def _different(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """Column names, all different: of several that are called alike, each with its number."""
    counts = Counter(columns)
    named = tuple(name if counts[name] == 1 else f"{name} (column {number})" for number, name in enumerate(columns, 1))
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        raise DataError(f"{path}: several columns are called {twice[0]!r}; rename all but one")
    if broken := [name for name in named if any("\ud800" <= character <= "\udfff" for character in name)]:
        raise DataError(f"{path}: the column {broken[0]!a} has a name that is no text; rename it")
    return named

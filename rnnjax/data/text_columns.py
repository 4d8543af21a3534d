"""Which columns of a table hold the documents, the labels and the groups: by name, or else by what is in them."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self

from rnnjax.data.tables import Table
from rnnjax.errors import DataError

TEXT_COLUMNS = ("text", "review", "sentence", "document", "content", "comment", "message")
"""Columns that are taken for the documents when none is named; the first that a file has."""
LABEL_COLUMNS = ("label", "class", "category", "sentiment", "target")
"""Likewise for the labels."""

_LONG, _SHORT = 20, 30
"""Characters of the middle document at least, and of a label at most, where columns are found by content."""


@dataclass(frozen=True)
class Reading:
    """How a file of documents is read.

    Attributes:
      text_column, label_column: their names; None: found by name, or else by content.
      group_column: whose equal values stay in one split; None: there is none.
      delimiter, encoding, header: as of :func:`rnnjax.data.tables.open_table`.
    """

    text_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None

    @property
    def of_table(self) -> dict[str, Any]:
        """The arguments of :func:`rnnjax.data.tables.read_table`."""
        return {"delimiter": self.delimiter, "encoding": self.encoding, "header": self.header}

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError or TypeError at what is none."""
        made = cls(**values)
        names = (made.text_column, made.label_column, made.group_column, made.delimiter, made.encoding)
        if not all(name is None or isinstance(name, str) for name in names) or made.header not in (None, True, False):
            raise ValueError(f"no way to read a table: {values!r:.60}")
        return made


def find(table: Table, reading: Reading) -> tuple[str, str, bool]:
    """The columns of documents and labels, and whether they were found by content.

    Raises:
      DataError: if there are none, or one would be both.
    """
    text = _named(table, reading.text_column, TEXT_COLUMNS)
    label = _named(table, reading.label_column, LABEL_COLUMNS)
    guessed = text is None or label is None
    if text is None:
        text = _by_content(table, _documents, {label})
    if label is None:
        label = _by_content(table, _labels, {text, reading.group_column})
    for found, guesses, option in ((text, TEXT_COLUMNS, "text"), (label, LABEL_COLUMNS, "label")):
        if found is None:
            raise DataError(
                f"{table.path}: no column is called {' or '.join(guesses)}; {_columns(table)}; name one by "
                f"--data.{option}-column{_headless(table)}"
            )
    if text == label:
        raise DataError(f"{table.path}: {text!r} cannot hold both the documents and the labels; {_columns(table)}")
    return str(text), str(label), guessed


def find_text(table_columns: Sequence[str], path: Any, wanted: str | None) -> str:
    """The column of documents where nothing needs a label; raises DataError if there is none.

    A table of one column without a name of its own has its documents there.
    """
    if wanted in table_columns:
        return str(wanted)
    lower = [column.lower() for column in table_columns]
    found = next((table_columns[lower.index(guess)] for guess in TEXT_COLUMNS if guess in lower), None)
    if wanted is None and found is not None:
        return found
    if len(table_columns) == 1 and table_columns[0] == "column1":
        return table_columns[0]
    shown = ", ".join(map(repr, table_columns))
    missing = f"no column {wanted!r}, which the model was trained on" if wanted else "no column of documents"
    raise DataError(f"{path}: {missing}; the columns are {shown}; rename the one that holds the documents")


def check_named(table: Table, column: str) -> str:
    """The same column, if the table has it; raises DataError that names the nearest."""
    if column not in table.columns:
        near = difflib.get_close_matches(column, table.columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{table.path}: no column {column!r}; {_columns(table)}{hint}")
    return column


def _named(table: Table, wanted: str | None, guesses: Sequence[str]) -> str | None:
    if wanted is not None:
        return check_named(table, wanted)
    lower = [column.lower() for column in table.columns]
    return next((table.columns[lower.index(guess)] for guess in guesses if guess in lower), None)


def _by_content(table: Table, fits: Any, taken: set[str | None]) -> str | None:
    """The only column that looks like it, if there is just one."""
    found = [column for column in table.columns if column not in taken and fits(table.values[column])]
    return found[0] if len(found) == 1 else None


def _documents(values: Sequence[Any]) -> bool:
    """Long strings, most of them different."""
    texts = [value for value in values if isinstance(value, str)]
    mostly = 2 * len(texts) > len(values)
    return mostly and median(map(len, texts)) >= _LONG and 3 * len(set(texts)) > len(texts)


def _labels(values: Sequence[Any]) -> bool:
    """A few short values, each of them several times."""
    shown = [str(value) for value in values if value is not None]
    if len(shown) < 0.9 * len(values) or max(map(len, shown), default=0) > _SHORT:
        return False
    return 2 <= len(set(shown)) <= len(shown) / 3


def _columns(table: Table) -> str:
    return f"the columns are {', '.join(map(repr, table.columns))}"


def _headless(table: Table) -> str:
    return "; if the first line is data and no names, give --data.header no" if table.header else ""

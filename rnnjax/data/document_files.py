"""A user's own labelled documents: a table, or a folder with one sub-folder of .txt files a class.

Everything is read as data, row by row; nothing is guessed about a row that does not fit, nothing is skipped without
a word, and every refusal names the file and the line.
"""

import dataclasses
import decimal
import functools
import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnjax.data import document_folders, split_columns
from rnnjax.data.tables import SUFFIXES, is_table, read_table
from rnnjax.data.text_columns import Reading, check_named, find
from rnnjax.errors import DataError


@dataclass
class Texts:
    """Labelled documents.

    Attributes:
      path: where they come from.
      reading: how that was read: with the columns that were found.
      documents, labels: one entry each a document.
      places: where each stands, ``file:line``, ``file, row 3`` or the file.
      groups: what each belongs to, if a column says so; None where nothing stands.
      notes: what a user should know of them, a sentence each.
      understood: what was found out about the file, a line each.
    """

    path: Path
    reading: Reading
    documents: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    groups: list[str | None] | None = None
    notes: list[str] = field(default_factory=list)
    understood: list[str] = field(default_factory=list)

    @functools.cached_property
    def keys(self) -> list[str | None]:
        """What copies of a document have in common, see :func:`key`, once all are read."""
        return list(map(key, self.documents))


def key(document: str) -> str | None:
    """What copies of a document have in common: its text, whatever its blanks; None where that says nothing."""
    text = " ".join(document.split())
    return text if any(character.isalnum() or not character.isascii() for character in text) else None


def read(path: Path, reading: Reading = Reading()) -> Texts:  # noqa: B008
    """Reads labelled documents.

    Args:
      path: a table as :func:`rnnjax.data.tables.read_table` reads it, or a folder with a sub-folder of ``.txt`` files
        a class.
      reading: which columns, and in what form they are.

    Raises:
      DataError: at anything that is not so, naming file and line.
    """
    texts = Texts(path, reading)
    try:
        if path.is_dir():
            _read_folder(texts)
        elif not path.exists():
            raise DataError(f"{path}: no such file or folder")
        elif is_table(path) or reading.delimiter is not None:
            _read_table(texts)
        else:
            raise DataError(
                f"{path}: not a kind of file known here ({', '.join(SUFFIXES)}), nor a folder with a sub-folder a "
                "class; a delimited file of another name is read with --data.delimiter"
            )
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from error
    if not texts.documents:
        raise DataError(f"{path}: there is no labelled document in it")
    empty = [place for place, document in zip(texts.places, texts.documents, strict=True) if not document.strip()]
    if empty:
        texts.notes.append(f"{_count(len(empty), 'document')} without text, first {empty[0]}; kept, with length 0")
    return texts


def document(place: str, column: str, value: Any) -> str:
    """The text that stands in a field, empty where nothing does; raises DataError if it is none."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: {column!r} must be a string, got {_shown(value)}")
    return value


def _read_folder(texts: Texts) -> None:
    for place, text, label in document_folders.documents(texts.path, texts.reading.encoding, texts.notes):
        texts.documents.append(text)
        texts.labels.append(_clean_label(place, label))
        texts.places.append(place)


def _read_table(texts: Texts) -> None:
    reading = texts.reading
    table = read_table(texts.path, **reading.of_table)
    text, label, guessed = find(table, reading)
    for place, value, said in zip(table.places, table.values[text], table.values[label], strict=True):
        texts.documents.append(document(place, text, value))
        texts.labels.append(_clean_label(place, _label(place, label, said)))
    texts.places = list(table.places)
    texts.notes += split_columns.said(table)
    if reading.group_column is not None:
        values = table.values[check_named(table, reading.group_column)]
        texts.groups = [None if value is None or value != value else str(value) for value in values]  # NaN is no group
    header = False if not table.header else reading.header
    texts.reading = dataclasses.replace(reading, text_column=text, label_column=label, header=header)
    found = " (found by what is in them)" if guessed else ""
    grouped = f", groups in {reading.group_column!r}" if reading.group_column else ""
    line = f"{texts.path.name}: texts in {text!r}, labels in {label!r}{found}{grouped}"
    texts.understood.append("; ".join([line, *table.understood]))


def _label(place: str, column: str, value: Any) -> str:
    """A label as a name: a string, or a number as it is written."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{place}: the label is empty: nothing stands in {column!r}")
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | decimal.Decimal) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise DataError(f"{place}: {column!r} must be a string or a number, got {_shown(value)}")


def _shown(value: Any) -> str:
    try:
        return json.dumps(value)[:40]
    except (TypeError, ValueError):
        return repr(value)[:40]


def _clean_label(place: str, label: str) -> str:
    label = unicodedata.normalize("NFC", label.strip())
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in label):
        raise DataError(f"{place}: the label {label[:40]!r} holds a control character or a line break")
    return label


def _count(number: int, singular: str) -> str:
    return f"{number:,} {singular if number == 1 else singular + 's'}"


def all_of(many: Sequence[Texts], name: str) -> list[str]:
    """The notes or lines of several, in their order."""
    return [line for texts in many for line in getattr(texts, name)]

"""A user's own labelled documents: CSV, TSV, JSON lines, or a folder with one sub-folder of .txt files a class.

Everything is read as data, line by line; nothing is guessed about a row that does not fit, nothing is skipped without
a word, and every refusal names the file and the line.
"""

import contextlib
import csv
import difflib
import json
import unicodedata
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rnnjax.data.files import hidden, regular, too_large
from rnnjax.errors import DataError

TEXT_COLUMNS = ("text", "review", "sentence", "document", "content", "comment", "message")
"""Columns that are taken for the documents when none is named; the first that a file has."""
LABEL_COLUMNS = ("label", "class", "category", "sentiment", "target")
"""Likewise for the labels."""

_LONGEST_FIELD = 2**31 - 1
_LONGEST_LINE = 2**30
"""Bytes."""
_BOM = b"\xef\xbb\xbf"

Record = tuple[str, str, str]
"""Where it stands (``file:line`` or the file), the document, and its label."""


@dataclass
class Table:
    """Labelled documents.

    Attributes:
      path: where they come from.
      documents, labels: one entry each a document.
      places: where each stands, ``file:line`` or the file.
      notes: what a user should know of them, a sentence each.
    """

    path: Path
    documents: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path, text_column: str | None = None, label_column: str | None = None) -> Table:
    """Reads labelled documents.

    Args:
      path: ``.csv`` (comma) or ``.tsv``/``.tab`` (tab) with a first line that names the columns, ``.jsonl``/``.ndjson``
        with an object a line, or a folder with a sub-folder of ``.txt`` files a class. Text is UTF-8.
      text_column, label_column: columns, or keys of the objects; by default the first of :data:`TEXT_COLUMNS` and
        of :data:`LABEL_COLUMNS` that is there.

    Raises:
      DataError: at anything that is not so, naming file and line.
    """
    table, columns = Table(path), (text_column, label_column)
    try:
        if path.is_dir():
            records = _folder(path, table.notes)
        elif not path.exists():
            raise DataError(f"{path}: no such file or folder")
        else:
            records = _reader(path)(path, columns)
        # Each reader holds an open file, which an error in a record must not leave to the garbage collector.
        with _any_length(), contextlib.closing(records):
            for place, document, label in records:
                table.documents.append(document)
                table.labels.append(_clean_label(place, label))
                table.places.append(place)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from error
    if not table.documents:
        raise DataError(f"{path}: there is no labelled document in it")
    empty = [place for place, document in zip(table.places, table.documents, strict=True) if not document.strip()]
    if empty:
        table.notes.append(f"{_count(len(empty), 'document')} without text, first {empty[0]}; kept, with length 0")
    return table


def _reader(path: Path) -> Callable[[Path, Sequence[str | None]], Generator[Record, None, None]]:
    readers = {".csv": _csv, ".tsv": _csv, ".tab": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    if path.suffix.lower() not in readers:
        known = ", ".join(readers)
        raise DataError(f"{path}: not a kind of file known here ({known}), nor a folder with a sub-folder a class")
    return readers[path.suffix.lower()]


def _csv(path: Path, columns: Sequence[str | None]) -> Generator[Record, None, None]:
    """Records of a delimited file, quoted as spreadsheets do: a field in quotes may hold anything, quotes twice."""
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    with contextlib.closing(_lines(path)) as lines:
        yield from _rows(path, csv.reader(lines, delimiter=delimiter, strict=True), columns)


def _rows(path: Path, rows: Any, columns: Sequence[str | None]) -> Generator[Record, None, None]:
    header = _next(path, rows, 1)
    if not header:
        raise DataError(f"{path}:1: the first line must name the columns, and it is empty")
    header = [name.strip() for name in header]
    text, label = _columns(f"{path}:1", header, columns)
    line = rows.line_num + 1
    while (row := _next(path, rows, line)) is not None:
        if row and len(row) != len(header):
            raise DataError(
                f"{path}:{line}: {_count(len(row), 'field')} where the first line names {len(header)}; "
                'put a field that holds the delimiter, a quote or a line break into quotes ("), quotes doubled'
            )
        if row:  # a blank line is no record
            yield f"{path}:{line}", row[text], row[label]
        line = rows.line_num + 1


def _next(path: Path, rows: Any, line: int) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        if "new-line" in str(error):
            raise DataError(
                f"{path}:{line}: the record that begins here holds a carriage return outside quotes, and other lines "
                "of the file end with a line feed; save it with one kind of line ends"
            ) from error
        raise DataError(
            f'{path}:{line}: the record that begins here cannot be read ({error}); a quote (") within a field in '
            "quotes is written twice, and a field that begins with one ends with one"
        ) from error


def _columns(place: str, header: Sequence[str], wanted: Sequence[str | None]) -> tuple[int, int]:
    named = f"the columns are {', '.join(map(repr, header))}"
    found = []
    for name, guesses, option in zip(
        wanted, (TEXT_COLUMNS, LABEL_COLUMNS), ("--data.text-column", "--data.label-column"), strict=True
    ):
        lower = [column.lower() for column in header]
        column = name if name is not None else next((header[lower.index(g)] for g in guesses if g in lower), None)
        if column is None:
            raise DataError(f"{place}: no column is called {' or '.join(guesses)}; {named}; name one by {option}")
        if column not in header:
            near = difflib.get_close_matches(column, header, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataError(f"{place}: no column {column!r}; {named}{hint}")
        if header.count(column) > 1:
            raise DataError(f"{place}: {header.count(column)} columns are called {column!r}; rename all but one")
        found.append(header.index(column))
    if found[0] == found[1]:
        raise DataError(f"{place}: {header[found[0]]!r} cannot hold both the documents and the labels; {named}")
    return found[0], found[1]


def _json_lines(path: Path, columns: Sequence[str | None]) -> Generator[Record, None, None]:
    """Records of a file with a JSON object a line."""
    with contextlib.closing(_lines(path)) as lines:
        yield from _objects(path, lines, columns)


def _objects(path: Path, lines: Iterator[str], columns: Sequence[str | None]) -> Generator[Record, None, None]:
    keys: tuple[str, str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: not a line of JSON ({error})") from error
        if not isinstance(value, dict):
            raise DataError(f'{place}: not a JSON object such as {{"text": "...", "label": "..."}}')
        if keys is None:
            names = list(value)
            text, label = _columns(place, names, columns)
            keys = names[text], names[label]
        for key in keys:
            if key not in value:
                raise DataError(f"{place}: no key {key!r}; the keys are {', '.join(map(repr, value))}")
        text, label = value[keys[0]], value[keys[1]]
        if not isinstance(text, str):
            raise DataError(f"{place}: {keys[0]!r} must be a string, got {json.dumps(text)[:40]}")
        if not isinstance(label, str | int):
            raise DataError(f"{place}: {keys[1]!r} must be a string or an integer, got {json.dumps(label)[:40]}")
        yield place, text, label if isinstance(label, str) else json.dumps(label)


def _folder(path: Path, notes: list[str]) -> Generator[Record, None, None]:
    entries = sorted(entry for entry in path.iterdir() if not hidden(entry.name))
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DataError(f"{path}: no sub-folder in it; a folder of documents has a sub-folder of .txt files a class")
    left = len(entries) - len(classes)
    for folder in classes:
        inside = sorted(entry for entry in folder.iterdir() if not hidden(entry.name))
        files = [entry for entry in inside if entry.suffix.lower() == ".txt" and entry.is_file()]
        if not files:
            raise DataError(f"{folder}: no .txt file in this class's folder; add some, or take the folder away")
        left += len(inside) - len(files)
        for file in files:
            yield str(file), "".join(_lines(file)), folder.name
    if left:
        notes.append(f"{_count(left, 'entry', 'entries')} in {path} left aside: no .txt file in a class's folder")


def _lines(path: Path) -> Generator[str, None, None]:
    """The lines of a UTF-8 file, line ends included, a byte order mark at the start left out."""
    with regular(path).open("rb") as file:
        for number, line in enumerate(_byte_lines(file), 1):
            if len(line) > _LONGEST_LINE:
                raise too_large(f"{path}:{number}", _LONGEST_LINE)
            if number == 1:
                if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    raise DataError(f"{path}:1: UTF-16 text; save the file as UTF-8")
                line = line.removeprefix(_BOM)
            if b"\0" in line:
                raise DataError(
                    f"{path}:{number}: a NUL byte (byte {line.index(0) + 1} of the line); "
                    "this is no text file, or UTF-16; save it as UTF-8"
                )
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}; "
                    "save the file as UTF-8"
                ) from error


def _byte_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines that end with a line feed, each in memory only up to the limit.

    Where the whole file has none but has carriage returns, as from old Macs and some spreadsheets, those end its lines.
    """
    first = file.readline(_LONGEST_LINE + 1)
    if b"\r" in first and not first.endswith(b"\n") and len(first) <= _LONGEST_LINE:
        yield from first.splitlines(keepends=True)
    elif first:
        yield first
    yield from iter(lambda: file.readline(_LONGEST_LINE + 1), b"")


@contextlib.contextmanager
def _any_length() -> Iterator[None]:
    """A document may be longer than what Python's csv takes by default."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _clean_label(place: str, label: str) -> str:
    label = unicodedata.normalize("NFC", label.strip())
    if not label:
        raise DataError(f"{place}: the label is empty")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in label):
        raise DataError(f"{place}: the label {label[:40]!r} holds a control character or a line break")
    return label


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"

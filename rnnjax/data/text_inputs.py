"""What ``predict`` reads of documents: tables, text files, folders and zips of them, lines of stdin."""

import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rnnjax.data import archives, files, reading
from rnnjax.data.archives import MOST_BYTES
from rnnjax.data.document_files import document
from rnnjax.data.files import hidden
from rnnjax.data.reading import Input, Line, line, unreadable
from rnnjax.data.tables import is_table, open_table
from rnnjax.data.text_columns import Reading, find_text
from rnnjax.data.text_lines import encoding_of, is_utf8, lines
from rnnjax.errors import DataError


def text_inputs(
    texts: Sequence[str], paths: Sequence[str], stdin: Any, how: Reading | None = None, *, by_line: bool = False
) -> Iterator[Input]:
    """Inputs for documents, files and folders, and for the lines of stdin (``-``), each found when it is asked for.

    Args:
      texts: documents.
      paths: a table has a document a row; any other file is one document; a folder and a zip hold such.
      stdin: a document a line; a blank line is none, and said.
      how: tables are read, and in which encoding; None: as files that say it themselves.
      by_line: a file that is no table has a document a line.
    """
    how = how or Reading()
    yield from (line(text, f"--text:{number}") for number, text in enumerate(texts, 1))
    for path in paths:
        try:
            yield from _of_path(path, stdin, how, by_line)
        except DataError as error:
            yield path, unreadable(str(error))
        except OSError as error:
            yield path, unreadable(f"{error.filename or path}: {error.strerror or error}")


def _of_path(path: str, stdin: Any, how: Reading, by_line: bool) -> Iterator[Input]:
    if path == "-" or (by_line and not is_table(Path(path)) and not os.path.isdir(path)):
        return _of_lines(path, stdin, how)
    if os.path.isdir(path):
        return _of_folder(Path(path), how, by_line)
    how = _encoded(Path(path), how)
    if is_table(Path(path)):
        return _rows(Path(path), how)
    if archives.is_zip(Path(path)):
        return _of_zip(path, how.encoding)
    return iter([(path, functools.partial(_whole, Path(path), how.encoding))])


def _of_lines(path: str, stdin: Any, how: Reading) -> Iterator[Input]:
    """A document a line, of UTF-8 each decoded by itself."""
    if path != "-":
        encoding = encoding_of(Path(path), _encoded(Path(path), how).encoding)
        if encoding != "utf-8":
            return _decoded(Path(path), encoding)
    return reading.lines(path, stdin)


def _decoded(path: Path, encoding: str) -> Iterator[Input]:
    place = ""
    for number, text in enumerate(lines(path, encoding), 1):
        place, text = f"{path}:{number}", text.rstrip("\r\n")
        yield line(text, place) if text.strip() else (place, Line(place, error=f"{place}: a blank line"))
    if not place:
        raise DataError(f"{path}: there is no text in it")


def _encoded(path: Path, how: Reading) -> Reading:
    """How a file is read: one that is plainly UTF-8 is, whatever the files of the training were."""
    files.regular(path, "; give - to read standard input")
    return dataclasses.replace(how, encoding=None) if how.encoding is not None and is_utf8(path) else how


def _rows(path: Path, how: Reading) -> Iterator[Input]:
    table, place = open_table(path, **how.of_table), None
    with contextlib.closing(table.rows):
        name = find_text(table.columns, path, how.text_column)
        column = table.columns.index(name)
        for place, row in table.rows:
            yield place, functools.partial(document, place, name, row[column])
    if place is None:
        raise DataError(f"{path}: there is no row in it")


def _of_folder(folder: Path, how: Reading, by_line: bool) -> Iterator[Input]:
    """All documents below a folder, in the order of their names; other files are named and not answered."""
    empty = True
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for path in (Path(place) / name for name in sorted(names) if not hidden(name)):
            empty = False
            if is_table(path) or path.suffix.lower() == ".txt":
                yield from text_inputs([], [str(path)], None, how, by_line=by_line)
            else:
                yield str(path), unreadable(f"{path}: neither a .txt file nor a table; name it by itself")
    if empty:
        raise DataError(f"{folder}: no .txt file and no table in this folder")


def _whole(path: Path, encoding: str | None) -> str:
    if os.path.getsize(files.regular(path)) > MOST_BYTES:
        raise files.too_large(path, MOST_BYTES)
    return _some("".join(lines(path, encoding)), path)


def _some(text: str, path: Any) -> str:
    if not text.strip():
        raise DataError(f"{path}: there is no text in it")
    return text


def _of_zip(path: str, encoding: str | None) -> Iterator[Input]:
    """The .txt files of an archive, in its order, read when they are asked for."""
    files, _ = archives.contents(Path(path))
    files = [file for file in files if not any(map(hidden, PurePosixPath(file.inside).parts))]
    for file in files:
        if file.name.lower().endswith(".txt"):
            yield str(file), functools.partial(_zipped, file, encoding)
        else:
            yield str(file), unreadable(f"{file}: no .txt file; unpack the zip to read it")
    if not files:
        raise DataError(f"{path}: no .txt file in this zip")


def _zipped(file: archives.Zipped, encoding: str | None) -> str:
    data = file.read_bytes()
    try:
        with io.TextIOWrapper(io.BytesIO(data), encoding or "utf-8-sig", newline="") as text:
            return _some(text.read(), file)
    except UnicodeError as error:
        raise DataError(f"{file}: not {encoding or 'UTF-8'} ({error})") from error

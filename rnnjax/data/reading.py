"""What ``predict`` reads: inputs one by one, each of which may turn out to be unreadable."""

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rnnjax.data import files, text_lines
from rnnjax.errors import DataError

Input = tuple[str, Callable[[], Any]]
"""A name to answer under, and a function that reads the input and may raise DataError.

Where the name does not say where the input stands, as of a line that is named by its text, ``place`` of the function
does.
"""

_MOST_BYTES = 2**30
"""Of a text file: it is read at once."""


@dataclass(frozen=True)
class Line:
    """A document that is known already, or that is known to be none.

    Attributes:
      place: where it stands.
      text: the document.
      error: why there is none.
    """

    place: str
    text: str = ""
    error: str | None = None

    def __call__(self) -> str:
        """The document; raises DataError if there is none."""
        if self.error is not None:
            raise DataError(self.error)
        return self.text


def line(text: str, place: str = "") -> Input:
    """A document that was given on the command line, or is a line of a file."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        shown = text.encode("utf-8", "replace").decode("utf-8")
        error = f"{shown[:80]}: the command line gave it in another encoding than UTF-8"
        return shown, Line(place or shown, error=error)
    return text, Line(place or text, text)


def unreadable(message: str) -> Callable[[], Any]:
    """The reading of an input that is known to be none."""

    def read() -> Any:
        raise DataError(message)

    return read


def lines(path: str, stdin: Any) -> Iterator[Input]:
    """An input for each line of a text file, also one by gzip, or of stdin (``-``); a blank one is an error of its own.

    Lines end as those of the training's files do, see :func:`rnnjax.data.text_lines.byte_lines`.

    Raises:
      DataError: if it cannot be read, is plainly no text, or has no line.
    """
    name, number = "standard input" if path == "-" else path, 0
    try:
        with contextlib.nullcontext(stdin.buffer) if path == "-" else _opened(path) as file:
            for number, data in enumerate(text_lines.byte_lines(file), 1):
                if len(data) > text_lines.LONGEST_LINE:
                    raise files.too_large(name, text_lines.LONGEST_LINE)
                if b"\0" in data:
                    raise DataError(f"{name}: not a UTF-8 text file (it holds NUL bytes); save it as UTF-8")
                text = data.rstrip(b"\r\n")
                yield _of_line(text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text, f"{name}:{number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: cannot be unpacked ({error}); pack it anew by gzip, or unpack it") from error
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}") from error
    if not number:
        raise DataError(f"{name}: there is no text in it")


def _opened(path: str) -> BinaryIO:
    """A regular file's bytes, unpacked where its name ends in ``.gz``."""
    file = files.regular(Path(path), "; give - to read standard input")
    return gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb")  # pyright: ignore[reportReturnType]


def _of_line(data: bytes, place: str) -> Input:
    try:
        text = data.decode("utf-8")
    except UnicodeError as error:
        return place, Line(place, error=f"{place}: not UTF-8 ({error}); save the file as UTF-8")
    if not text.strip():
        return place, Line(place, error=f"{place}: a blank line")
    return text, Line(place, text)


def documents(path: str, stdin: Any) -> list[str]:
    """The lines of a text file, or of stdin, that are not blank; there is at least one.

    Raises:
      DataError: if it cannot be read, is no UTF-8, or is blank.
    """
    if path == "-":
        data = stdin.buffer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise files.too_large("standard input", _MOST_BYTES)
    else:
        data = files.read_bytes(Path(path), _MOST_BYTES, hint="; give - to read standard input")
    try:
        if b"\0" in data:
            raise UnicodeError("it holds NUL bytes")
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error})") from error
    found = [text for text in lines if text.strip()]
    if not found:
        raise DataError(f"{path}: there is no text in it")
    return found

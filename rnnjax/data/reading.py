"""What ``predict`` reads: inputs one by one, each of which may turn out to be unreadable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnjax.data import files
from rnnjax.errors import DataError

Input = tuple[str, Callable[[], Any]]
"""A name to answer under, and a function that reads the input and may raise DataError."""

_MOST_BYTES = 2**30
"""Of a text file: it is read at once."""


def line(text: str) -> Input:
    """A document that was given on the command line, or is a line of a file."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        shown = text.encode("utf-8", "replace").decode("utf-8")
        return shown, unreadable(f"{shown[:80]}: the command line gave it in another encoding than UTF-8")
    return text, lambda: text


def unreadable(message: str) -> Callable[[], Any]:
    """The reading of an input that is known to be none."""

    def read() -> Any:
        raise DataError(message)

    return read


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

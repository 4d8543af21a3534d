"""What is told to whoever started the program; it never stops what it tells of.

A reader that has gone away, a closed or full output and a terminal that cannot show a letter cost the words, and once a
note on the other stream, but no training.
"""

import contextlib
import os
import sys
from typing import Any

_lost: set[str] = set()


def say(*lines: str) -> None:
    """Prints lines on the standard output."""
    _write("stdout", lines)


def answer(line: str, end: str = "\n") -> None:
    """Prints what was asked for: a letter that the output cannot show is spelled, and an error is raised.

    Args:
      line: a line, or with another ``end`` a part of one.
      end: what is printed after it.

    Raises:
      OSError: if it cannot be written, BrokenPipeError if its reader has gone.
    """
    if sys.stdout is not None:
        try:
            print(line, end=end, flush=True)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            print(line.encode(encoding, "backslashreplace").decode(encoding), end=end, flush=True)


def open_closed_streams() -> None:
    """Opens nowhere where the process was started without input, output or errors, lest a file takes their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def tell(message: str) -> None:
    """Prints a line on the standard error."""
    _write("stderr", (message,))


def note(message: str) -> None:
    """Prints a line on the standard error that begins with ``note:``."""
    tell(f"note: {message}")


def lose(stream: str, error: Exception) -> None:
    """Notes, once, that an output cannot be written; what still comes goes nowhere.

    Args:
      stream: ``"stdout"`` or ``"stderr"``.
      error: what writing to it raised.
    """
    if stream in _lost:
        return
    _lost.add(stream)
    discard(getattr(sys, stream))
    if stream == "stdout":
        note(f"the output can no longer be written ({error}); the run goes on without a word")


def _write(stream: str, lines: tuple[str, ...]) -> None:
    file: Any = getattr(sys, stream)
    if file is None:  # closed before the program started
        return
    text = "".join(f"{line}\n" for line in lines)
    try:
        with contextlib.suppress(UnicodeEncodeError):
            print(text, end="", file=file, flush=True)
            return
        encoding = getattr(file, "encoding", None) or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", file=file, flush=True)
    except (OSError, ValueError) as error:  # ValueError: it was closed
        lose(stream, error)


def discard(file: Any) -> None:
    """Leads a broken stream of the process itself to nowhere, or Python fails once more when it flushes at the end."""
    if file is not getattr(sys, "__stdout__", None) and file is not getattr(sys, "__stderr__", None):
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)

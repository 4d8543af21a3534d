"""Small files, read with care and written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnjax.errors import RunError, UsageError

_LARGEST = 2**28
"""Bytes of the largest JSON file that is read: no run writes such a one, and it is seen before memory is taken."""


ASIDE = ".aside-"
"""How the name of a file begins that is still being written; a killed process leaves it."""


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file of a work folder.

    Args:
      path: the file.
      what: what it should be, for errors, such as ``a result``.

    Raises:
      UsageError: if it is missing.
      RunError: if it is no file, too large, or holds something else than a JSON object.
    """
    try:
        if not path.exists():
            raise UsageError(f"{path}: no such file")
        if not path.is_file():
            raise RunError(f"{path}: not a regular file")
        if path.stat().st_size > _LARGEST:
            raise RunError(f"{path}: not {what}: it has {path.stat().st_size:,} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise RunError(f"{path}: not {what}: its JSON is nested too deeply") from None
    except ValueError as error:
        raise RunError(f"{path}: not {what}: {error}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: not {what}: it holds {type(values).__name__} and no JSON object")
    return values


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, never through a link."""
    write_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Has a file written aside and renamed, so that it is there whole or not at all; a link is replaced, not followed.

    Args:
      path: the file.
      write: writes to the path that it is given, which has the same suffix.
    """
    handle, name = tempfile.mkstemp(prefix=ASIDE, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

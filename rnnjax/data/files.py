"""Files that are read: regular ones only, and what identifies their bytes."""

import hashlib
import os
import stat
from pathlib import Path

from rnnjax.errors import DataError

_SAMPLE = 64 * 1024
"""Bytes in each of the three parts of a file that :func:`sample_digest` reads."""


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is no data: ``.git``, and what Macs leave beside files and in archives."""
    return name.startswith(".") or name == "__MACOSX"


def is_regular(path: str | Path) -> bool:
    """Whether a path leads to a regular file, links followed; no pipe, device, socket or folder.

    Raises:
      OSError: if there is nothing, or it may not be looked at.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


def regular(path: Path, hint: str = "") -> Path:
    """The same path, if it leads to a regular file: reading a pipe or a device may never end.

    Args:
      path: to look at; links are followed.
      hint: what the error's sentence ends with.

    Raises:
      DataError: if it is something else, or nothing.
    """
    try:
        ok = is_regular(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not ok:
        raise DataError(f"{path}: not a regular file{hint}")
    return path


def read_bytes(path: Path, most: int, hint: str = "") -> bytes:
    """A regular file's bytes, if they are no more than ``most``; that is looked at before memory is taken.

    Args:
      path: the file.
      most: bytes.
      hint: what the error's sentence ends with if it is no regular file.

    Raises:
      DataError: if it is no regular file, cannot be read, or is larger.
    """
    try:
        with regular(path, hint).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > most else file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if max(size, len(data)) > most:
        raise too_large(path, most)
    return data


def too_large(path: str | Path, most: int) -> DataError:
    """What is said of a file, or a line of one, of more than ``most`` bytes."""
    return DataError(f"{path}: more than {most / 2**20:,.0f} MiB, the most that is read at once; divide it")


def digest(path: Path) -> str:
    """SHA-256 of a regular file's bytes, in hexadecimal.

    Raises:
      DataError: if it is no regular file.
      OSError: if it cannot be read.
    """
    with regular(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sample_digest(path: Path) -> str:
    """SHA-256 of a regular file's size and of its first, middle and last 64 KiB: a few milliseconds for any size.

    Raises:
      DataError: if it is no regular file.
      OSError: if it cannot be read.
    """
    with regular(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        sample = hashlib.sha256(size.to_bytes(8, "little"))
        for start in (0, max(size // 2 - _SAMPLE // 2, 0), max(size - _SAMPLE, 0)):
            file.seek(start)
            sample.update(file.read(_SAMPLE))
    return sample.hexdigest()

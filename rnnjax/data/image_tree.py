"""What lies in a folder or in a zip: its files in the order of their names, wherever they are."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rnnjax.data import archives
from rnnjax.data.archives import Zipped
from rnnjax.data.files import hidden
from rnnjax.errors import DataError

Source = Path | Zipped
"""A file on the disk or in a zip; ``str`` of it is its name in errors."""

_WANTED = "give a folder with one sub-folder of images a class, or a .zip of it"


class Entry(NamedTuple):
    """A file.

    Attributes:
      parts: of its path from the tree's root.
      source: where it is read.
    """

    parts: tuple[str, ...]
    source: Source


@dataclass(frozen=True)
class Tree:
    """Files and folders that are not hidden; links are followed.

    Attributes:
      root: the folder, the zip, or a folder in either, as it is called in errors.
      files: in the order of the parts of their paths.
      folders: the parts of every folder's path, in the same order.
    """

    root: Path
    files: tuple[Entry, ...]
    folders: tuple[tuple[str, ...], ...]

    def top(self) -> tuple[str, ...]:
        """Names of the folders directly in it."""
        return tuple(parts[0] for parts in self.folders if len(parts) == 1)

    def below(self, name: str) -> "Tree":
        """The tree of a folder directly in it."""
        files = tuple(Entry(entry.parts[1:], entry.source) for entry in self.files if _inside(entry.parts, name))
        return Tree(self.root / name, files, tuple(parts[1:] for parts in self.folders if _inside(parts, name)))


def _inside(parts: tuple[str, ...], name: str) -> bool:
    return len(parts) > 1 and parts[0] == name


def require_local(path: str) -> None:
    """Raises DataError at an address on the web, whose slashes may have been taken for those of a path."""
    found = re.search(r"(?:^|/)(https?|ftp|s3|gs|hdfs):/+[^/]", path, re.IGNORECASE)
    if found:
        raise DataError(f"{path}: an address on the web; download it first, and give the file or folder")


def tree(path: Path, refuse: Callable[[str], None]) -> Tree:
    """What lies in a folder or a zip.

    Args:
      path: of either.
      refuse: called with a sentence on what cannot be read within it.

    Raises:
      DataError: if the path leads to neither, or a zip cannot be read.
    """
    if archives.is_zip(path) and not path.is_dir():
        return _of_zip(path)
    _check(path)
    files: list[Entry] = []
    folders: list[tuple[str, ...]] = []
    for parts, file in _walk(path, (), refuse, ()):
        if file is None:
            folders.append(parts)
        else:
            files.append(Entry(parts, file))
    return Tree(path, tuple(files), tuple(folders))


def _of_zip(path: Path) -> Tree:
    files, folders = archives.contents(path)
    found = [Entry(PurePosixPath(file.inside).parts, file) for file in files]
    found = sorted((entry for entry in found if not any(map(hidden, entry.parts))), key=lambda entry: entry.parts)
    named = {PurePosixPath(folder).parts for folder in folders} | {entry.parts[:-1] for entry in found}
    every = {parts[:depth] for parts in named for depth in range(1, len(parts) + 1)}
    return Tree(path, tuple(found), tuple(sorted(parts for parts in every if not any(map(hidden, parts)))))


def _check(path: Path) -> None:
    try:
        os.scandir(path).close()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such folder") from error
    except NotADirectoryError as error:
        raise DataError(f"{path}: not a folder; {_WANTED}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _walk(
    folder: Path, parts: tuple[str, ...], refuse: Callable[[str], None], above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[tuple[str, ...], Path | None]]:
    """Everything below a folder in the order of the names, each folder (with None) before what is in it."""
    try:
        facts = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        refuse(f"{folder}: {error.strerror or error}")
        return
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        refuse(f"{folder}: a symbolic link to a folder that it lies in")
        return
    for entry in entries:
        if hidden(entry.name):
            continue
        if os.path.isdir(entry.path):  # False, and no error, for a link that leads nowhere
            yield (*parts, entry.name), None
            yield from _walk(Path(entry.path), (*parts, entry.name), refuse, (*above, here))
        else:
            yield (*parts, entry.name), Path(entry.path)

"""The files of a folder or a zip, in the order of their names, none unpacked before it is read."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rnnjax.data import archives
from rnnjax.data.archives import MOST_BYTES
from rnnjax.data.files import hidden, read_bytes
from rnnjax.data.usual_names import SPLITS
from rnnjax.errors import DataError


class Entry(NamedTuple):
    """A file of a folder or a zip.

    Attributes:
      inside: its path there.
      place: what it is called in errors.
      data: its bytes.
      path: where it lies; None within a zip.
    """

    inside: PurePosixPath
    place: str
    data: Callable[[], bytes]
    path: Path | None = None


def entries(path: Path) -> list[Entry]:
    """The files of a folder or a zip that are not hidden, in the order of their names; one folder around all is none.

    Raises:
      DataError: if it cannot be read.
    """
    found = _zipped(path) if path.is_file() else _below(path)
    if not found:
        raise DataError(f"{path}: there is no file in it")
    while len({entry.inside.parts[0] for entry in found}) == 1 and min(len(e.inside.parts) for e in found) > 1:
        if SPLITS.get(found[0].inside.parts[0].lower()) in ("train", "test"):
            break
        found = [entry._replace(inside=PurePosixPath(*entry.inside.parts[1:])) for entry in found]
    return found


def _below(path: Path) -> list[Entry]:
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file())
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror or error}") from error
    return [
        Entry(PurePosixPath(inside), str(file), lambda file=file: read_bytes(file, MOST_BYTES), file)
        for file in files
        if not any(map(hidden, (inside := file.relative_to(path)).parts))
    ]


def _zipped(path: Path) -> list[Entry]:
    files, _ = archives.contents(path)
    kept = [file for file in files if not any(map(hidden, PurePosixPath(file.inside).parts))]
    return [
        Entry(PurePosixPath(file.inside), str(file), file.read_bytes)
        for file in sorted(kept, key=lambda file: file.inside)
    ]

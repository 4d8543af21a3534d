"""Files within a zip, read where they lie: nothing is unpacked to the disk, and a hostile archive is refused."""

import contextlib
import io
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rnnjax.data.files import regular, too_large
from rnnjax.errors import DataError

MOST_BYTES = 2**30
"""Of one file that is read at once, in an archive or a folder."""
_BOMB_RATIO, _BOMB_LEAST = 200, 2**30
"""An archive that unpacks to more than so many times its size, and to more bytes than that, is refused."""

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError)
"""What ``zipfile`` raises at an archive that is damaged or of an unknown kind; lzma's and bz2's errors among them."""


@dataclass(frozen=True)
class Zipped:
    """A file of an archive; it may be read from several threads at once.

    Attributes:
      archive: the zip.
      inside: the file's path there.
    """

    archive: Path
    inside: str
    _info: zipfile.ZipInfo = field(repr=False, compare=False)
    _opened: zipfile.ZipFile = field(repr=False, compare=False)  # closed when the last file of it is forgotten

    def __str__(self) -> str:
        return f"{self.archive}/{self.inside}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.inside).name

    def read_bytes(self) -> bytes:
        """What it holds; raises DataError if it cannot be unpacked."""
        if self._info.file_size > MOST_BYTES:
            raise too_large(str(self), MOST_BYTES)
        try:
            return self._opened.read(self._info)
        except Exception as error:  # each way of packing has its own errors, with no common name
            raise DataError(f"{self}: cannot be unpacked ({error})") from error

    def open(self) -> io.BytesIO:
        """Its bytes as a file."""
        return io.BytesIO(self.read_bytes())


def is_zip(path: Path) -> bool:
    """Whether a path's name is that of a zip."""
    return path.suffix.lower() == ".zip"


def contents(path: Path) -> tuple[list[Zipped], list[str]]:
    """The files of a zip, and its folders, which may be empty; each once, whatever its order.

    Raises:
      DataError: if it is no zip, is encrypted, names files outside of itself, or unpacks to far more than its size.
    """
    try:
        size = regular(path).stat().st_size
        opened = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise DataError(f"{path}: not a zip that can be read ({error}); pack it anew, or unpack it") from error
    files: dict[str, Zipped] = {}
    folders: dict[str, None] = {}
    for info in opened.infolist():
        name = _name(info)
        _check(path, info, name)
        inside = str(PurePosixPath(name))
        if name.endswith("/"):
            folders[inside] = None
        elif inside != ".":
            files[inside] = Zipped(path, inside, info, opened)
    unpacked = sum(file._info.file_size for file in files.values())
    if unpacked > max(_BOMB_LEAST, _BOMB_RATIO * size):
        raise DataError(
            f"{path}: its {size:,} bytes unpack to {unpacked:,}, which no data do; it may be a decompression bomb"
        )
    return list(files.values()), list(folders)


def _name(info: zipfile.ZipInfo) -> str:
    """A file's name; archivers that do not say in which encoding it is write UTF-8 today."""
    if info.flag_bits & 0x800:
        return info.filename
    with contextlib.suppress(UnicodeError):
        return info.filename.encode("cp437").decode("utf-8")
    return info.filename


def _check(path: Path, info: zipfile.ZipInfo, name: str) -> None:
    """Raises DataError at a file that cannot be read, or whose name leads out of the archive."""
    if info.flag_bits & 0x1:
        raise DataError(f"{path}: {name} is encrypted; unpack it with its password and give the folder")
    if name.startswith(("/", "\\")) or name[1:2] == ":" or ".." in name.replace("\\", "/").split("/"):
        raise DataError(f"{path}: the name {name!r} in it leads out of the archive; pack it anew")

"""The lines of a text file: any encoding that is named, UTF-8 unless one is, gzip where the name says so."""

import codecs
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from rnnjax.data.encodings import hint
from rnnjax.data.files import regular, too_large
from rnnjax.errors import DataError, UsageError

LONGEST_LINE = 2**30
"""Bytes."""
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_OTHER_KINDS = {
    b"\x1f\x8b": "it is compressed by gzip: let its name end in .gz",
    b"PK\x03\x04": "it is a zip or a spreadsheet of Excel: save the sheet as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "it is a spreadsheet of an old Excel: save the sheet as CSV",
    b"PAR1": "it is Parquet: let its name end in .parquet",
    b"%PDF": "it is a PDF",
}
_SAMPLE = 2**18
"""Bytes that are looked at for a hint."""


def plain_suffix(path: Path) -> str:
    """The suffix in lower case that says what a file holds: of ``a.CSV.gz``, ``.csv``."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def opened(path: Path) -> BinaryIO:
    """A regular file's bytes, unpacked where its name ends in ``.gz``; raises DataError if it is none."""
    regular(path)
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # pyright: ignore[reportReturnType]


def known_encoding(encoding: str | None) -> str | None:
    """The usual name of an encoding of text; raises UsageError if there is none of that name."""
    if encoding is None:
        return None
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise UsageError(
            f"there is no encoding {encoding!r}; --data.encoding takes names such as utf-8, cp1252, utf-16, shift_jis"
        ) from error


def encoding_of(path: Path, encoding: str | None) -> str:
    """The encoding that a file is read in: the named one, else what a byte order mark says, else UTF-8.

    Raises:
      DataError: if the file cannot be read, or is plainly no text.
      UsageError: if there is no encoding of that name.
    """
    named = known_encoding(encoding)
    start = _start(path, 8)
    for magic, what in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise DataError(f"{path}: this is no text file; {what}")
    if named in (None, "utf-8", "utf-16"):
        return next((name for mark, name in _BOMS.items() if start.startswith(mark)), named or "utf-8")
    return named  # pyright: ignore[reportReturnType]


def is_utf8(path: Path) -> bool:
    """Whether the beginning of a file is UTF-8 with characters outside ASCII: it is hardly ever anything else."""
    return hint(_start(path, _SAMPLE)) == "utf-8"


def lines(path: Path, encoding: str | None = None) -> Generator[str, None, None]:
    """The lines of a text file, line ends included, a byte order mark at the start left out.

    Raises:
      DataError: at what is no text in this encoding, naming the line and the encoding that it may be in.
      UsageError: if there is no encoding of that name.
    """
    encoding = encoding_of(path, encoding)
    number = 0
    try:
        with opened(path) as file:
            if "\n".encode(encoding) == b"\n":
                yield from _by_bytes(path, file, encoding)
                return
            text = io.TextIOWrapper(file, encoding, newline="")
            for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE + 1), ""), 1):
                yield _checked(path, number, line.removeprefix("\ufeff") if number == 1 else line, encoding)
    except UnicodeError as error:
        raise DataError(
            f"{path}:{number + 1}: not {encoding} from here on ({error}); {_which(path, encoding)}"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); pack it anew by gzip, or unpack it") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def _by_bytes(path: Path, file: BinaryIO, encoding: str) -> Iterator[str]:
    """Where a line feed is one byte, and that byte nothing else, each line is decoded by itself."""
    for number, line in enumerate(byte_lines(file), 1):
        if number == 1 and encoding == "utf-8":
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > LONGEST_LINE:
            raise too_large(f"{path}:{number}", LONGEST_LINE)
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            where = f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}"
            raise DataError(
                f"{path}:{number}: not {encoding.upper()}: {where}; {_which(path, encoding, line)}"
            ) from error
        yield _checked(path, number, text, encoding)


def _checked(path: Path, number: int, line: str, encoding: str) -> str:
    if len(line) > LONGEST_LINE:
        raise too_large(f"{path}:{number}", LONGEST_LINE)
    if "\0" in line:
        place = len(line[: line.index("\0")].encode(encoding, "replace")) + 1
        raise DataError(
            f"{path}:{number}: a NUL byte (byte {place} of the line); this is no text file, or {_which(path, encoding)}"
        )
    return line


def byte_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines that end with a line feed, each in memory only up to the limit.

    Where the whole file has none, but at its end, and has carriage returns, as from old Macs and some spreadsheets,
    those end its lines.
    """
    first = file.readline(LONGEST_LINE + 1)
    short = len(first) <= LONGEST_LINE
    second = file.readline(LONGEST_LINE + 1) if short else b""
    if b"\r" in first.rstrip(b"\r\n") and not second and short:
        yield from first.splitlines(keepends=True)
    else:
        yield from filter(None, (first, second))
    yield from iter(lambda: file.readline(LONGEST_LINE + 1), b"")


def _which(path: Path, failed: str, line: bytes = b"") -> str:
    """What to do: the encoding that a file looks like, or else to save it as UTF-8."""
    start = _start(path, _SAMPLE)
    found = hint(line or start, failed) or hint(start, failed)
    if not found:
        return "save the file as UTF-8, or name its encoding by --data.encoding"
    return f"it looks like {found}: give --data.encoding {found}, or save the file as UTF-8"


def _start(path: Path, count: int) -> bytes:
    try:
        with opened(path) as file:
            return file.read(count)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); pack it anew by gzip, or unpack it") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error

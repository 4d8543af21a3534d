"""Delimited files: the delimiter that makes their rows alike, a first line of names or of data, and the rows."""

import contextlib
import csv
import itertools
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rnnjax.data.text_lines import encoding_of, lines
from rnnjax.errors import DataError, UsageError

DELIMITERS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
"""Those that are found out, and how they are shown."""

_WORDS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "bar": "|"}
_LONGEST_FIELD = 2**31 - 1
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 200, 2**20
_AGAIN = 2
"""Rows that hold what the first one holds in the same column: a label among labels, and no name of theirs."""
_LONG_NAME, _LONG_VALUE = 60, 30
"""Characters: a name that long, over values half as long and more, is a document itself."""


class Opened(NamedTuple):
    """A delimited file whose first line was read.

    Attributes:
      columns: as the file names them, not necessarily different; ``column1`` and so on where it names none.
      rows: where each stands, and its fields; None for an empty one.
      understood: a line each.
      header: whether the first line names the columns.
    """

    columns: list[str]
    rows: Generator[tuple[str, list[str | None]], None, None]
    understood: tuple[str, ...]
    header: bool


def delimiter_named(name: str) -> str:
    """The character that an option names; raises UsageError if that cannot delimit fields."""
    character = _WORDS.get(name.lower(), name)
    if len(character) != 1 or character in '\r\n"\0 ':
        raise UsageError(f"a delimiter is one character such as ; or the word tab, got {name!r}")
    return character


def read(path: Path, suffix: str, delimiter: str | None, encoding: str | None, header: bool | None) -> Opened:
    """Opens a delimited file, quoted as spreadsheets do: a field in quotes may hold anything, quotes twice.

    Args:
      path: of the file.
      suffix: which says what the delimiter usually is.
      delimiter, encoding, header: as of :func:`rnnjax.data.tables.open_table`.

    Raises:
      DataError: if its first lines cannot be read, or there is none.
      UsageError: if delimiter or encoding cannot be one.
    """
    given = None if delimiter is None else delimiter_named(delimiter)
    used, usual = encoding_of(path, encoding), "," if suffix == ".csv" else "\t"
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(contextlib.closing(lines(path, encoding)))
        sample = _sample(stream)
        told, skipped = _told(sample)
        character = given or told or _found(sample[skipped:], usual)
        everything = itertools.islice(itertools.chain(sample, stream), skipped, None)
        rows = _rows(path, csv.reader(everything, delimiter=character, strict=True), skipped)
        place, first = next(rows, ("", []))
        if not first:
            raise DataError(f"{path}:1: the first line must name the columns, and it is empty")
        named = header if header is not None else not is_data(first, _first_rows(sample[skipped:], character)[1])
        names = [name.strip() for name in first] if named else [""] * len(first)
        columns = [name or f"column{position}" for position, name in enumerate(names, 1)]
        understood = []
        if character != usual:
            why = "as given" if given else "the first line says so" if told else "found out"
            understood.append(f"delimiter {shown(character)} ({why})")
        if used != "utf-8":
            understood.append(f"encoding {used} ({'as given' if encoding else 'the first bytes say so'})")
        understood += _of_names(columns, header, named=named)
        held = stack.pop_all()
    if not named:
        rows = itertools.chain([(place, first)], rows)
    return Opened(columns, _even(held, rows, len(columns), character), tuple(understood), named)


def shown(delimiter: str) -> str:
    """A delimiter as it is written in a sentence."""
    return DELIMITERS.get(delimiter, repr(delimiter))


def _of_names(columns: Sequence[str], header: bool | None, *, named: bool) -> list[str]:
    if not named:
        why = "as given" if header is False else "the first line is a row of data"
        return [f"no names of columns ({why}): they are called column1 to column{len(columns)}"]
    if header is None and all(number(name) is not None for name in columns):
        return [f"the first line names the columns: {columns[0]} to {columns[-1]} (--data.header no if it is data)"]
    return []


def is_data(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a table's first row is plainly data and no names: whole documents, a word that its own column repeats,
    as a label, or numbers as names never are.

    Names may be numbers too: steps or years, which rise.
    """
    cells = [cell.strip() for cell in first]
    below = [row for row in below if len(row) == len(first) and row != first]  # files that were joined repeat the names
    for column, cell in enumerate(cells):
        lengths = [len(row[column]) for row in below]
        if "\n" in cell or (len(cell) >= _LONG_NAME and lengths and median(lengths) >= _LONG_VALUE):
            return True
        values = Counter(row[column].strip() for row in below)
        among = set(values) - {cell, ""}  # a column that holds its own name alone may be called so
        if cell and number(cell) is None and values[cell] >= _AGAIN and among:
            return True
    numbers = [value for value in map(number, cells) if value is not None]
    if not numbers or not below:
        return False
    if len(cells) == len(numbers) == 1:
        return numbers != [0] and all(number(row[0]) is not None for row in below)
    if len(cells) == len(numbers) and any(number(row[0]) == numbers[0] for row in below):
        # A first value that comes again is a class, and those after it are a sequence, even if they rise as names do:
        # these are whole, or as far from each other.
        steps = {round(b - a, 9) for a, b in itertools.pairwise(numbers[1:])}
        if len(steps) > 1 and not all(value.is_integer() for value in numbers):
            return True
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    falling = all(a > b and a.is_integer() for a, b in itertools.pairwise(numbers))
    return not (rising or falling)


def number(text: str) -> float | None:
    """The number that a field holds, NaN and infinity among them, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _sample(stream: Iterator[str]) -> list[str]:
    """The first lines, not more than a glance."""
    sample, size = [], 0
    for line in itertools.islice(stream, _SAMPLE_LINES):
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            break
    return sample


def _told(sample: Sequence[str]) -> tuple[str | None, int]:
    """The delimiter of a first line such as ``sep=;``, which Excel writes, and how many lines that is."""
    line = sample[0].strip("\r\n") if sample else ""
    if line.lower().startswith("sep=") and len(line) == 5 and line[4] in DELIMITERS:
        return line[4], 1
    return None, 0


def _found(sample: Sequence[str], usual: str) -> str:
    """The delimiter by which the first row has several fields and the most rows as many; in doubt the usual one."""
    best, most = usual, 0.0
    for character in (usual, *(other for other in DELIMITERS if other != usual)):
        first, below = _first_rows(sample, character)
        if len(first) < 2:
            continue
        alike = (1 + sum(len(row) == len(first) for row in below)) / (1 + len(below))
        if alike > most:
            best, most = character, alike
    return best


def _first_rows(sample: Sequence[str], delimiter: str) -> tuple[list[str], list[list[str]]]:
    """The first row that is not blank and those below it, as far as the sample goes; the last one may be cut."""
    rows = []
    with any_length(), contextlib.suppress(csv.Error):
        for row in csv.reader(sample, delimiter=delimiter):
            rows += [row] if row else []
    return (rows[0], rows[1:]) if rows else ([], [])


def _rows(path: Path, reader: Any, skipped: int) -> Iterator[tuple[str, list[str]]]:
    """Where each row begins, and its fields; a blank line is no row."""
    line = 1 + skipped
    while (row := _next(path, reader, line)) is not None:
        if row:
            yield f"{path}:{line}", row
        line = 1 + skipped + reader.line_num


def _even(
    held: contextlib.ExitStack, rows: Iterator[tuple[str, list[str]]], width: int, delimiter: str
) -> Generator[tuple[str, list[str | None]], None, None]:
    """The same rows, each with as many fields as the first; ``held`` is the open file."""
    with held:
        for place, row in rows:
            if len(row) == width:
                yield place, [field or None for field in row]
            elif width == 1 or row[0].strip() or len(row) > 1:  # else a line of blanks
                raise DataError(
                    f"{place}: {len(row):,} field{'s' * (len(row) != 1)} where the first line names {width:,} "
                    f"(delimiter {shown(delimiter)}); put a field that holds the delimiter, a quote or a line break "
                    'into quotes ("), quotes doubled, or name another by --data.delimiter'
                )


def _next(path: Path, rows: Any, line: int) -> list[str] | None:
    # The limit is the whole process's, so that it is raised for no longer than a row takes.
    try:
        with any_length():
            return next(rows, None)
    except csv.Error as error:
        if "new-line" in str(error):
            raise DataError(
                f"{path}:{line}: the record that begins here holds a carriage return outside quotes, and other lines "
                "of the file end with a line feed; save it with one kind of line ends"
            ) from error
        raise DataError(
            f'{path}:{line}: the record that begins here cannot be read ({error}); a quote (") within a field in '
            "quotes is written twice, and a field that begins with one ends with one"
        ) from error


@contextlib.contextmanager
def any_length() -> Iterator[None]:
    """A field may be longer than what Python's csv takes by default."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)

"""A table of labels beside images: which of its columns name files and classes, and which row is of which file."""

import contextlib
import dataclasses
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from rnnjax.data import image_files, split_columns, tables
from rnnjax.data.image_tree import Entry, Source, Tree
from rnnjax.data.tables import Table
from rnnjax.data.usual_names import FILE_COLUMNS
from rnnjax.errors import DataError, RnnjaxError

LABEL_COLUMNS = ("label", "class", "category", "target", "species", "breed")
"""Columns that are taken for the classes when none is named; the first that a table has."""

_GLANCE = 1000


@dataclass(frozen=True)
class Reading:
    """How a folder's images get their classes.

    Attributes:
      classes_from: ``auto``, or which folders, the table or the files' names say the class.
      file_column, label_column: of a table; None: found by name.
      delimiter, encoding, header: as of :func:`rnnjax.data.tables.read_table`.
    """

    classes_from: str = "auto"
    file_column: str | None = None
    label_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; raises ValueError or TypeError at what is none."""
        made = cls(**values)
        names = (made.file_column, made.label_column, made.delimiter, made.encoding)
        fine = isinstance(made.classes_from, str) and made.header in (None, True, False)
        if not fine or not all(name is None or isinstance(name, str) for name in names):
            raise ValueError(f"no way to read a folder of images: {values!r:.60}")
        return made


class Labelled(NamedTuple):
    """An image with its class.

    Attributes:
      entry: the file.
      label: the class.
    """

    entry: Entry
    label: str


class Listed(NamedTuple):
    """What a table says of the images of a tree.

    Attributes:
      images: those that have a row, in the order of their paths.
      understood: what was found out about the table, a line each.
    """

    images: tuple[Labelled, ...]
    understood: tuple[str, ...]


def read(tree: Tree, entry: Entry, reading: Reading, refuse: Callable[[str], None]) -> Listed | None:
    """The labels that a table gives the images of a tree; None if it is no such table.

    Args:
      tree: where the images are.
      entry: the table.
      reading: its columns.
      refuse: called with a sentence on each row without a file, without a label or with a second label.

    Raises:
      DataError: if the table cannot be read, or a row names what may be several files.
    """
    index = _Index(tree, Path(entry.parts[-1]).stem)
    table = _table(entry.source, reading, index)
    columns = _columns(table, reading, index)
    if columns is None:
        return None
    files, labels = (table.values[name] for name in columns)
    if not any(index.files(value) for value in files):
        return None
    found: dict[Entry, tuple[str, str]] = {}
    for value, said, place in zip(files, labels, table.places, strict=True):
        file, label = index.only(value, place), _label(said)
        if file is None:
            refuse(f"{place}: there is no image {str(value)!r:.80} in {tree.root}")
        elif label is None:
            refuse(f"{place}: {str(value)!r:.80} has no label" if said is None else f"{place}: no label: {said!r:.40}")
        elif file in found and found[file][0] != label:
            first, where = found[file]
            refuse(f"{file.source}: two labels, {first!r} ({where}) and {label!r} ({place}); an image has one")
        else:
            found.setdefault(file, (label, place))
    images = tuple(Labelled(file, found[file][0]) for file in index.every if file in found)
    name = "/".join(entry.parts)
    lines = tuple(f"{name}: {line}" for line in table.understood)
    lines += (f"classes by {name}: files by its column {columns[0]!r}, classes by {columns[1]!r}",)
    lines += tuple(split_columns.said(table))
    return Listed(images, lines)


class _Index:
    """The images of a tree by the names that a table may give them: a path, a name, or a name without its suffix."""

    def __init__(self, tree: Tree, prefer: str):
        self.every = image_files.images(tree)
        self._prefer = prefer
        self._by_name: dict[str, list[Entry]] = defaultdict(list)
        self._by_stem: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.every:
            self._by_name[_same(entry.parts[-1])].append(entry)
            self._by_stem[_same(entry.parts[-1].rpartition(".")[0])].append(entry)

    def files(self, value: Any) -> list[Entry]:
        """The images that a cell may name: those whose path agrees with it in the most parts."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            return []
        parts = PurePosixPath(_same(str(value).strip().replace("\\", "/"))).parts
        named = (self._by_name.get(parts[-1]) or self._by_stem.get(parts[-1]) or []) if parts else []
        if len(named) < 2:
            return list(named)
        agree = [_agreeing(tuple(map(_same, entry.parts[:-1])), parts[:-1]) for entry in named]
        best = [entry for entry, count in zip(named, agree, strict=True) if count == max(agree)]
        exact = [entry for entry in best if len(entry.parts) == len(parts) > 1]
        return exact or [entry for entry in best if self._prefer in entry.parts[:-1]] or best

    def only(self, value: Any, place: str) -> Entry | None:
        """The one image that a cell names, or None; raises DataError if there are several."""
        found = self.files(value)
        if len(found) > 1:
            raise DataError(
                f"{place}: {str(value)!r:.80} may be {found[0].source} or {found[1].source}; "
                "write the path from the folder on"
            )
        return found[0] if found else None


def _same(name: str) -> str:
    """A name in the one Unicode form; Macs write another."""
    return unicodedata.normalize("NFC", name)


def _agreeing(folders: Sequence[str], said: Sequence[str]) -> int:
    """How many folders two paths have in common, counted from their ends."""
    count = 0
    for mine, theirs in zip(reversed(folders), reversed(said), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _table(source: Source, reading: Reading, index: _Index) -> Table:
    how = {"delimiter": reading.delimiter, "encoding": reading.encoding}
    with _on_disk(source) as path:
        table = tables.read_table(path, **how, header=reading.header)
        if reading.header is None and table.header and any(index.files(column) for column in table.columns):
            table = tables.read_table(path, **how, header=False)  # the first line names an image
    lines = [line.replace("as given", "the first line names an image") for line in table.understood]
    places = [place.replace(str(path), str(source)) for place in table.places]
    return dataclasses.replace(table, path=Path(str(source)), places=places, understood=tuple(lines))


@contextlib.contextmanager
def _on_disk(source: Source) -> Iterator[Path]:
    """A file as one on the disk, for as long as it is read; errors name it as it is called."""
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.name
        path.write_bytes(source.read_bytes())
        try:
            yield path
        except RnnjaxError as error:
            raise type(error)(str(error).replace(str(path), str(source))) from error


def _columns(table: Table, reading: Reading, index: _Index) -> tuple[str, str] | None:
    """The columns of files and of classes; None if the table has none of them.

    Raises:
      DataError: if one that was named is not there, or both are one.
    """
    matching = [column for column in table.columns if any(map(index.files, table.values[column][:_GLANCE]))]
    files = _named(table, reading.file_column, FILE_COLUMNS, matching, "file") or _by_content(table, matching, index)
    labels = _named(table, reading.label_column, LABEL_COLUMNS, table.columns, "label")
    if labels is None and files is not None and len(table.columns) == 2:
        labels = next(name for name in table.columns if name != files)
    if files is None or labels is None:
        return None
    if files == labels:
        raise DataError(f"{table.path}: {files!r} cannot hold both the files and the classes")
    return files, labels


def _named(table: Table, wanted: str | None, guesses: Sequence[str], among: Sequence[str], option: str) -> str | None:
    if wanted is not None and wanted not in table.columns:
        shown = ", ".join(map(repr, table.columns))
        raise DataError(f"{table.path}: no column {wanted!r}, which --data.{option}-column names; there are {shown}")
    lower = {column.strip().lower(): column for column in reversed(among)}
    return wanted or next((lower[guess] for guess in guesses if guess in lower), None)


def _by_content(table: Table, among: Sequence[str], index: _Index) -> str | None:
    """The only column with another image's name in nearly every row."""
    named = {column: {file for value in table.values[column] for file in index.files(value)} for column in among}
    fits = [column for column, files in named.items() if len(files) > 0.9 * len(table)]
    return fits[0] if len(fits) == 1 else None


def _label(value: Any) -> str | None:
    """A class's name; None where a cell holds none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, str | int):
        return None
    text = unicodedata.normalize("NFC", str(value).strip())
    return text if text and text.isprintable() else None

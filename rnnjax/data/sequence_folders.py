"""Folders and zips with a file a sequence: tables, ``.npy`` and ``.wav``."""

import dataclasses
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data import sequence_columns, sequence_tables, wav_files
from rnnjax.data.archives import MOST_BYTES
from rnnjax.data.files import read_bytes
from rnnjax.data.sequence_entries import Entry, entries
from rnnjax.data.sequence_table import pattern_fields
from rnnjax.data.sequences import Found, Reading, Series, count
from rnnjax.data.tables import Table, is_table, read_table
from rnnjax.data.usual_names import FILE_COLUMNS, SPLITS
from rnnjax.errors import DataError

PACKED = "tables within a zip are not read; unpack it and name the folder"
"""What is said of a table that has no path of its own."""
_LABEL_TABLES = ("labels", "label", "targets", "target", "classes", "metadata", "index", "train_labels")


def read(path: Path, reading: Reading, *, training: bool) -> Found:
    """The sequences of a folder or a zip.

    Raises:
      DataError: where files are none, or the label of one is not to be found.
    """
    every = entries(path)
    of_labels = label_table(every, reading)
    files = [entry for entry in every if _is_sequence(entry) and entry is not of_labels]
    kinds = sorted({_kind(entry) for entry in files})
    if not files:
        suffixes = sorted({entry.inside.suffix for entry in every})[:5]
        raise DataError(f"{path}: no .wav, .npy or table in it, but {', '.join(map(repr, suffixes))}")
    if len(kinds) > 1:
        raise DataError(f"{path}: {' and '.join(kinds)} in one folder; keep one kind of file, a sequence each")
    split_of, inside = _splits(path, files)
    labels, label_names, groups, said = _labels(path, files, inside, reading, of_labels, training=training)
    labelled = any(label is not None for label in labels)
    found = _series(path, files, dataclasses.replace(reading, layout="files"), training=training, labelled=labelled)
    series = [
        one if label is None else one._replace(labels=label) for one, label in zip(found.series, labels, strict=True)
    ]
    series = [one._replace(group=group) for one, group in zip(series, groups, strict=True)]
    left = [entry.place for entry in every if not _is_sequence(entry)]
    lines = [f"{count(len(files), kinds[0] + ' file')}, a sequence each{said}", *found.understood]
    lines += [f"{count(len(left), 'other file')} left aside: {', '.join(left[:3])}"] * bool(left)
    return dataclasses.replace(
        found,
        path=path,
        series=series,
        label_names=label_names or found.label_names,
        test=[number for number, split in enumerate(split_of) if split == "test"],
        validation=[number for number, split in enumerate(split_of) if split == "validation"],
        understood=lines,
    )


def read_file(path: Path, reading: Reading) -> Found:
    """One file as one sequence."""
    return read_entry(Entry(PurePosixPath(path.name), str(path), lambda: read_bytes(path, MOST_BYTES), path), reading)


def read_entry(entry: Entry, reading: Reading) -> Found:
    """A file of a folder or a zip as one sequence, as those of the training were read."""
    return _series(entry.path or Path(entry.inside), [entry], reading, training=False)


def is_sequence(path: Path) -> bool:
    """Whether a file is read as one sequence, whatever else is known."""
    return path.suffix.lower() in (".npy", ".wav")


def _is_sequence(entry: Entry) -> bool:
    return is_sequence(Path(entry.inside)) or is_table(Path(entry.inside))


def _kind(entry: Entry) -> str:
    return entry.inside.suffix.lower() if is_sequence(Path(entry.inside)) else "table"


def _splits(path: Path, files: Sequence[Entry]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The split that each file lies in, empty where there are no folders of splits; and its folders within that."""
    tops = {entry.inside.parts[0].lower() for entry in files if len(entry.inside.parts) > 1}
    folders = [entry.inside.parts[:-1] for entry in files]
    if not tops <= set(SPLITS) or not {"train"} < {SPLITS[top] for top in tops}:
        return [""] * len(files), folders
    if flat := next((entry for entry in files if len(entry.inside.parts) == 1), None):
        raise DataError(f"{flat.place}: lies beside {' and '.join(sorted(tops))}, in none of them; move it into one")
    return [SPLITS[above[0].lower()] for above in folders], [above[1:] for above in folders]


def _labels(
    path: Path,
    files: Sequence[Entry],
    folders: Sequence[tuple[str, ...]],
    reading: Reading,
    label_table: Entry | None,
    *,
    training: bool,
) -> tuple[list[tuple[str, ...] | None], tuple[str, ...], list[str | None], str]:
    """For each file its labels, None where it has none from outside, and its group; the labels' names; and a word."""
    none: list[str | None] = [None] * len(files)
    if reading.name_pattern:
        placed = zip(files, folders, strict=True)
        found = [_from_name(entry, above, reading.name_pattern, training=training) for entry, above in placed]
        labels = [None if one is None else (one["label"],) for one in found]
        groups = none if any(one is None for one in found) else [one.get("group") for one in found if one is not None]
        return labels, ("label",), groups, f", labels in their names by {reading.name_pattern}"
    if label_table is not None:
        return *_from_table(files, label_table, reading, training=training), f", labels in {label_table.inside}"
    depths = {len(above) for above in folders}
    if depths == {1}:
        return [(above[0],) for above in folders], ("label",), none, ", labels by sub-folder"
    if depths == {0} or not training:  # tables may hold the labels of their steps
        return [None] * len(files), (), none, ""
    deep = next(entry for entry, above in zip(files, folders, strict=True) if len(above) != 1)
    raise DataError(
        f"{deep.place}: files lie at several depths, or deeper than in one sub-folder a class; say where their names "
        "hold the label by --data.name-pattern, or move them"
    )


def _from_name(entry: Entry, above: tuple[str, ...], pattern: str, *, training: bool) -> dict[str, str] | None:
    """What a pattern names in a file's name, and with a ``/`` in the names of the folders that it lies in."""
    named = "/".join((*above, entry.inside.stem)[-1 - pattern.count("/") :])
    expression = re.escape(pattern)
    for name in pattern_fields(pattern) or ():
        expression = expression.replace(re.escape("{" + name + "}"), f"(?P<{name}>[^/]+?)")
    match = re.fullmatch(expression, named)
    if match is None and training:
        raise DataError(f"{entry.place}: its name {named!r} is not of --data.name-pattern {pattern}; rename or move it")
    return None if match is None else match.groupdict()


def label_table(every: Sequence[Entry], reading: Reading) -> Entry | None:
    """The table that says the labels of the files beside it: the only one, or the one that is called so.

    There is none where names hold the labels.
    """
    if reading.name_pattern:
        return None
    tables = [entry for entry in every if is_table(Path(entry.inside)) and len(entry.inside.parts) == 1]
    if any(is_sequence(Path(entry.inside)) for entry in every) and len(tables) == 1:
        return tables[0]
    named = [entry for entry in tables if entry.inside.name.lower().split(".")[0] in _LABEL_TABLES]
    return named[0] if len(named) == 1 else None


def _from_table(
    files: Sequence[Entry], entry: Entry, reading: Reading, *, training: bool
) -> tuple[list[tuple[str, ...] | None], tuple[str, ...], list[str | None]]:
    table = _table(entry, reading)
    names = sequence_columns.found(table, reading.id_column, FILE_COLUMNS, "--data.id-column")
    if names is None:
        raise DataError(
            f"{entry.place}: no column of files' names; {sequence_columns.named(table)}; name one by --data.id-column"
        )
    if len(table.columns) == 2 and not reading.label_columns:  # of which the other one must be the labels
        reading = dataclasses.replace(reading, label_columns=tuple(name for name in table.columns if name != names))
    columns = sequence_columns.label_columns(table, dataclasses.replace(reading, id_column=names), training=True)
    if not columns:
        raise DataError(
            f"{entry.place}: no column of labels; {sequence_columns.named(table)}; name one by --data.label-column"
        )
    group = sequence_columns.found(table, reading.group_column, (), "--data.group-column")
    rows: dict[str, int] = {}
    for row, value in enumerate(table.values[names]):
        name = PurePosixPath(cells.label(value) or "").as_posix()
        if name in rows:
            raise DataError(f"{table.places[row]}: {name!r} stands also at {table.places[rows[name]]}; leave one out")
        rows[name] = row
    labels: list[tuple[str, ...] | None] = []
    groups: list[str | None] = []
    for one in files:
        keys = (one.inside.as_posix(), one.inside.name, one.inside.stem)
        row = next((rows[key] for key in keys if key in rows), None)
        if row is None:
            raise DataError(f"{one.place}: no row of {entry.place} names it; add one, or move the file away")
        labels.append(tuple(cells.label(table.values[column][row]) or "" for column in columns))
        groups.append(None if group is None else cells.label(table.values[group][row]))
    return labels, columns, groups


def _table(entry: Entry, reading: Reading) -> Table:
    if entry.path is None:
        raise DataError(f"{entry.place}: {PACKED}")
    return read_table(entry.path, delimiter=reading.delimiter, encoding=reading.encoding, header=reading.header)


def _series(path: Path, files: Sequence[Entry], reading: Reading, *, training: bool, labelled: bool = False) -> Found:
    """Each file as a sequence; all have the same channels, and recordings the same rate."""
    kind = _kind(files[0])
    if kind == ".wav":
        return _recordings(path, files, reading, training=training)
    if kind == ".npy":
        series = [Series(entry.place, entry.place, _array(entry)) for entry in files]
        _alike(series, series[0].steps.shape[1])
        channels = tuple(map(str, range(1, series[0].steps.shape[1] + 1)))
        return Found(path, series, reading, channels)
    how: Any = {"training": training, "labelled": labelled}
    first = sequence_tables.read(_table(files[0], reading), reading, **how)
    series = list(first.series)
    for entry in files[1:]:
        series += sequence_tables.read(_table(entry, first.reading), first.reading, **how).series
    return dataclasses.replace(first, path=path, series=series)


def _alike(series: Sequence[Series], width: int) -> None:
    other = next((one for one in series if one.steps.shape[1] != width), None)
    if other is not None:
        got = count(other.steps.shape[1], "channel")
        raise DataError(f"{other.place}: {got}, where {series[0].place} has {width}; all need the same")


def _array(entry: Entry) -> np.ndarray:
    """An array file ``[T]`` or ``[T, channels]`` as float64; nothing in it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = np.load(io.BytesIO(entry.data()), allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # NumPy has Python's tokenizer read a header, which raises errors of many kinds
        said = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{entry.place}: not a .npy file of numbers ({said})") from error
    if not isinstance(made, np.ndarray) or made.dtype.kind not in "biuf" or made.ndim not in (1, 2):
        got = f"{made.dtype} {list(made.shape)}" if isinstance(made, np.ndarray) else "several arrays"
        raise DataError(f"{entry.place}: must hold numbers [T] or [T, channels], got {got}")
    made = made.astype(np.float64)
    return made[:, None] if made.ndim == 1 else made


def _recordings(path: Path, files: Sequence[Entry], reading: Reading, *, training: bool) -> Found:
    series, rate = [], reading.rate
    for entry in files:
        samples, own = wav_files.read(entry.data(), entry.place)
        rate = rate or own
        if own != rate:
            others = "those of the training are" if reading.rate else f"{files[0].place} is"
            raise DataError(
                f"{entry.place}: recorded at {own:,} Hz, where {others} at {rate:,} Hz; convert it, as by "
                f"ffmpeg -i IN -ar {rate} OUT.wav"
            )
        series.append(Series(entry.place, entry.place, samples))
    seconds = sum(len(one.steps) for one in series) / rate
    lines = [f"recordings at {rate:,} Hz, {seconds / 60:,.1f} minutes"] if training else []
    return Found(path, series, dataclasses.replace(reading, rate=rate), (), understood=lines)

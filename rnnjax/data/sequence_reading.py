"""From a path to the sequences in it: tables, ``.ts`` files, arrays, recordings, and folders or zips of them."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from rnnjax.data import sequence_folders as folders
from rnnjax.data import sequence_tables, ts_files
from rnnjax.data.reading import Input, unreadable
from rnnjax.data.sequence_entries import Entry, entries
from rnnjax.data.sequences import Found, Reading
from rnnjax.data.tables import SUFFIXES, is_table, read_table
from rnnjax.errors import DataError


def read(path: Path, reading: Reading, *, training: bool) -> Found:
    """The sequences at a path, in their order.

    Args:
      path: of a table, a ``.ts`` file, a folder or a zip; where nothing is trained, also of one array or recording.
      reading: what was said of it, or what was found out in training.
      training: whether columns are found out, and every sequence needs its labels.

    Raises:
      DataError: where it cannot be read, naming file and line.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir() and training and (file := _ts_of(path)) is not None:
        return read(file, reading, training=training)
    if path.is_dir() or path.suffix.lower() == ".zip":
        return folders.read(path, reading, training=training)
    if path.suffix.lower() == ".ts":
        return _with_test(path) if training else ts_files.read(path)
    if folders.is_sequence(path):
        if training:
            raise DataError(f"{path}: this is one sequence; name the folder in which there is one a file")
        return folders.read_file(path, reading)
    if not is_table(path) and reading.delimiter is None:
        known = ", ".join((*SUFFIXES, ".ts", ".npy", ".wav", ".zip"))
        raise DataError(f"{path}: not a kind of file known here ({known}), nor a folder")
    table = read_table(path, delimiter=reading.delimiter, encoding=reading.encoding, header=reading.header)
    return sequence_tables.read(table, reading, training=training)


def read_new(path: Path, reading: Reading) -> Found:
    """New labelled sequences: those of one file, or of a folder or zip that is not cut into splits.

    Raises:
      DataError: also where there are several splits, since what is trained on would be judged as if it were new.
    """
    if path.suffix.lower() == ".ts" and path.is_file():
        return ts_files.read(path)
    parts = reading.name_pattern.split("/")
    while len(parts) > 1 and "{label}" not in parts[0]:  # a folder that says the group alone may be the one given
        parts.pop(0)
    found = read(path, dataclasses.replace(reading, name_pattern="/".join(parts)), training=True)
    if len(found.test) or len(found.validation):
        raise DataError(f"{path}: there are several splits in it, such as train and test; evaluate one of them")
    return found


def _ts_of(path: Path) -> Path | None:
    """The ``.ts`` file to train on in a folder that has one."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".ts")
    train = [file for file in files if file.stem.upper().endswith("_TRAIN")]
    if len(train) > 1:
        raise DataError(f"{path}: several sets in it, {train[0].name} and {train[1].name}; name one file")
    return train[0] if train else files[0] if len(files) == 1 else None


def _with_test(path: Path) -> Found:
    """The cases of a file, and those of the _TEST.ts beside a _TRAIN.ts, for testing."""
    found, stem = ts_files.read(path), path.stem
    beside = path.with_name(f"{stem[:-6]}_TEST{path.suffix}") if stem.endswith("_TRAIN") else path
    if beside == path or not beside.is_file():
        return found
    test = ts_files.read(beside)
    numbers = range(len(found.series), len(found.series) + len(test.series))
    lines = [*found.understood, f"test split: {beside.name}, beside it"]
    return dataclasses.replace(found, series=[*found.series, *test.series], test=numbers, understood=lines)


def inputs(path: Path, reading: Reading, check: Callable[[np.ndarray, str], np.ndarray]) -> list[Input]:
    """The sequences at a path for ``predict``: of a folder each file is read when its turn comes.

    Args:
      path: as for :func:`read`.
      reading: of the training.
      check: refuses steps which the model does not read, with their place.
    """
    try:
        if path.exists() and (path.is_dir() or path.suffix.lower() == ".zip"):
            every = entries(path)
            made = [
                (entry.place, functools.partial(_one, entry, reading, check))
                for entry in every
                if folders.is_sequence(Path(entry.inside))
            ]
            of_labels = folders.label_table(every, reading) if reading.layout == "files" else None
            for entry in every if not made else ():
                if _is_read(entry.inside) and entry is not of_labels:
                    packed = [(entry.place, unreadable(f"{entry.place}: {folders.PACKED}"))]
                    made += inputs(entry.path, reading, check) if entry.path else packed
            return made or [(str(path), unreadable(f"{path}: there is no sequence in it"))]
        found = read(path, reading, training=False)
    except DataError as error:
        return [(str(path), unreadable(str(error)))]
    return [(one.name, functools.partial(check, one.steps, one.place)) for one in found.series]


def _is_read(inside: PurePosixPath) -> bool:
    return is_table(Path(inside)) or inside.suffix.lower() == ".ts"


def _one(entry: Entry, reading: Reading, check: Callable[[np.ndarray, str], np.ndarray]) -> np.ndarray:
    (one,) = folders.read_entry(entry, reading).series
    return check(one.steps, one.place)

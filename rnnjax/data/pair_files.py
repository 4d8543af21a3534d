"""Pairs of texts in files: two parallel files a part, or a table with two columns."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data.document_files import document
from rnnjax.data.examples import hold_out_rows
from rnnjax.data.pair_config import PairData
from rnnjax.data.pair_reading import PairReading
from rnnjax.data.pairs import Pairs
from rnnjax.data.tables import is_table, read_table
from rnnjax.data.text_lines import is_utf8, lines
from rnnjax.data.token_sets import normal
from rnnjax.errors import DataError


def splits(config: PairData) -> dict[str, Pairs]:
    """The pairs of all parts.

    Raises:
      DataError: if a file is missing or cannot be read, or two that should be parallel are not.
    """
    path = Path(config.path).expanduser()
    if not config.path or not path.exists():
        where = f"there is no {path}" if config.path else "no files of pairs are named"
        raise DataError(f"{where}; {_wanted(config)}")
    if path.is_file():
        return _split_table(path, config)
    test, names = Pairs(groups=[]), config.test_parts[1:]
    reading, wanted = PairReading.of(config), _wanted(config)
    for group, part in enumerate(config.test_parts):
        read = _parallel(path, part, reading, wanted)
        test.sources += read.sources
        test.targets += read.targets
        test.groups = [*(test.groups or []), *[group] * len(read)]
    test.names = tuple(names)
    parts = (config.train_part, config.validation_part)
    train, validation = (_parallel(path, part, reading, wanted) for part in parts)
    return {"train": train, "validation": validation, "test": test}


def _wanted(config: PairData) -> str:
    parts = (config.train_part, config.validation_part, *config.test_parts)
    listed = ", ".join(f"{part}.{side}" for part in parts for side in (config.source, config.target))
    return f"give --data.path a folder with the files {listed} (each also with .gz), or a table"


def new_pairs(path: Path, reading: PairReading) -> Pairs:
    """The pairs of a table, of two parallel files of which one is named, or of a folder with two such files.

    Raises:
      DataError: as :func:`splits` does; also where it is none of these, or a folder has several parts.
    """
    sides = (reading.source, reading.target)
    if path.is_dir():
        found = {side: _parts(path, side) for side in sides}
        parts = [part for part in found[sides[0]] if part in found[sides[1]]]
        if len(parts) > 1:
            listed = ", ".join(str(path / f"{part}.{sides[0]}") for part in parts)
            raise DataError(f"{path}: there are several parts in it; evaluate one of them, by its source: {listed}")
        if not parts:
            raise DataError(f"{path}: there are no two files NAME.{sides[0]} and NAME.{sides[1]} in it")
        return _parallel(path, parts[0], reading, new=True)
    part = part_of(path.name, sides)
    if part:
        return _parallel(path.parent, part, reading, packed=path.name.endswith(".gz"), new=True)
    if not is_table(path):
        raise DataError(
            f"{path}: these are no pairs that can be read; give a table with the columns {sides[0]} and {sides[1]}, or "
            f"one of two parallel files NAME.{sides[0]} and NAME.{sides[1]}"
        )
    reading = dataclasses.replace(reading, encoding=_of_new(path, reading.encoding))
    return _of_table(path, reading, "two of them must be called as they were in training")


def _of_new(path: Path, encoding: str | None) -> str | None:
    """The encoding to read a new file in: one that is plainly UTF-8 is, whatever the files of the training were."""
    return None if encoding is not None and is_utf8(path) else encoding


def part_of(name: str, sides: Sequence[str]) -> str:
    """The part that a file is of, by its name without ``.gz``; empty where it is of none of the sides."""
    name = name.removesuffix(".gz")
    return next((name.removesuffix(f".{side}") for side in sides if name.endswith(f".{side}")), "")


def _parts(folder: Path, side: str) -> list[str]:
    """The parts that a folder has a file of a side of."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return list(dict.fromkeys(part for name in names if (part := part_of(name, [side]))))


def _parallel(
    folder: Path, part: str, reading: PairReading, wanted: str = "", *, packed: bool | None = None, new: bool = False
) -> Pairs:
    """Two parallel files, ``new`` ones as :func:`_of_new` says; of those that are there with and without ``.gz``, the
    ``packed`` ones or the others.

    Raises:
      DataError: where nobody said which of both, and as :func:`splits` does.
    """
    paths = [_file(folder, f"{part}.{side}", wanted, packed) for side in (reading.source, reading.target)]
    encodings = [_of_new(path, reading.encoding) if new else reading.encoding for path in paths]
    sources, targets = (list(_texts(*each)) for each in zip(paths, encodings, strict=True))
    if len(sources) != len(targets):
        raise DataError(
            f"{paths[0]} has {len(sources):,} lines and {paths[1]} {len(targets):,}; they must be as many, line by line"
            f" a pair; {_suspicious(sources, targets)}"
        )
    if not sources:
        raise DataError(f"{paths[0]}: there is no line in it")
    for path, texts in zip(paths, (sources, targets), strict=True):
        if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
            raise DataError(f"{path}:{blank}: a blank line; take it out, and its pair's other side too")
    return Pairs(sources, targets, places=[f"{paths[0]}:{number}" for number in range(1, len(sources) + 1)])


def _file(folder: Path, name: str, wanted: str, packed: bool | None) -> Path:
    both = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(both) > 1 and packed is None:
        raise DataError(f"{folder}: there are both {name} and {name}.gz in it; take one of them away")
    if both:
        return both[bool(packed) and len(both) > 1]
    hint = wanted or "the lines of one file have their other sides in the other"
    raise DataError(f"{folder}: there is neither {name} nor {name}.gz in it; {hint}")


def _texts(path: Path, encoding: str | None) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in lines(path, encoding))


def _suspicious(sources: list[str], targets: list[str]) -> str:
    """The first line at which two files seem to part: where one is blank, or far longer than the other as a rule is."""
    pairs = list(zip(sources, targets, strict=False))
    for number, (source, target) in enumerate(pairs, 1):
        if bool(source.strip()) != bool(target.strip()):
            return f"line {number} is blank in one of them"
    if pairs:
        ratios = [(len(source) + 1) / (len(target) + 1) for source, target in pairs]
        usual = statistics.median(ratios)
        for number, ratio in enumerate(ratios, 1):
            if not 0.4 * usual < ratio < 2.5 * usual:
                return f"line {number} is the first whose sides differ much in length; the place may be far before it"
    return f"no line before {len(pairs) + 1}, the first that only one of them has, looks odd"


def _split_table(path: Path, config: PairData) -> dict[str, Pairs]:
    if not is_table(path):
        raise DataError(f"{path}: no table of a kind known here; {_wanted(config)}")
    pairs = _of_table(path, PairReading.of(config), "name two of them by --data.source and --data.target")
    # All pairs of a source are in one split: a model that knows its answer would be tested on nothing.
    numbered: dict[str, int] = {}
    groups = np.array(
        [numbered.setdefault(normal(source, config.lowercase), len(numbered)) for source in pairs.sources]
    )
    try:
        rest, test = hold_out_rows(len(numbered), config.test_fraction)
        kept, held = hold_out_rows(len(rest), config.validation_fraction / (1 - config.test_fraction))
    except DataError as error:
        raise DataError(
            f"{path}: of {len(numbered):,} different sources no part can be cut for validation and another for the "
            "test; give more pairs, or larger --data.validation-fraction and --data.test-fraction"
        ) from error
    chosen = {"train": rest[kept], "validation": rest[held], "test": test}
    rows = {split: np.flatnonzero(np.isin(groups, numbers)) for split, numbers in chosen.items()}
    return {
        split: Pairs([pairs.sources[row] for row in numbers], [pairs.targets[row] for row in numbers])
        for split, numbers in rows.items()
    }


def _of_table(path: Path, reading: PairReading, hint: str) -> Pairs:
    table = read_table(path, encoding=reading.encoding)
    if not table.header:  # names that are texts below them too are names all the same
        named = read_table(path, encoding=reading.encoding, header=True)
        table = named if {reading.source, reading.target} <= {*named.columns} else table
    for column in (reading.source, reading.target):
        if column not in table.columns:
            raise DataError(f"{path} has no column {column!r}; its columns are {', '.join(table.columns)}: {hint}")
    sources, targets = (
        [_cell(value, place, column) for value, place in zip(table.values[column], table.places, strict=True)]
        for column in (reading.source, reading.target)
    )
    return Pairs(sources, targets, places=list(table.places))


def _cell(value: Any, place: str, column: str) -> str:
    text = document(place, column, value)
    if not text.strip():
        raise DataError(f"{place}: no text in column {column!r}")
    return text

"""Pairs of texts in files: two parallel files a part, or a table with two columns."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnjax.data.examples import hold_out_rows
from rnnjax.data.pair_config import PairData
from rnnjax.data.pairs import Pairs
from rnnjax.data.tables import is_table, read_table
from rnnjax.data.text_lines import lines
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
        return _of_table(path, config)
    test, names = Pairs(groups=[]), config.test_parts[1:]
    for group, part in enumerate(config.test_parts):
        read = _parallel(path, part, config)
        test.sources += read.sources
        test.targets += read.targets
        test.groups = [*(test.groups or []), *[group] * len(read)]
    test.names = tuple(names)
    train, validation = (_parallel(path, part, config) for part in (config.train_part, config.validation_part))
    return {"train": train, "validation": validation, "test": test}


def _wanted(config: PairData) -> str:
    parts = (config.train_part, config.validation_part, *config.test_parts)
    listed = ", ".join(f"{part}.{side}" for part in parts for side in (config.source, config.target))
    return f"give --data.path a folder with the files {listed} (each also with .gz), or a table"


def _parallel(folder: Path, part: str, config: PairData) -> Pairs:
    paths = [_file(folder, f"{part}.{side}", config) for side in (config.source, config.target)]
    sources, targets = (list(_texts(path)) for path in paths)
    if len(sources) != len(targets):
        raise DataError(
            f"{paths[0]} has {len(sources):,} lines and {paths[1]} {len(targets):,}; they must be as many, line by line"
            f" a pair; {_suspicious(sources, targets)}"
        )
    for path, texts in zip(paths, (sources, targets), strict=True):
        if blank := next((number for number, text in enumerate(texts, 1) if not text.strip()), None):
            raise DataError(f"{path}:{blank}: a blank line; take it out, and its pair's other side too")
    return Pairs(sources, targets)


def _file(folder: Path, name: str, config: PairData) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"{folder}: there is neither {name} nor {name}.gz in it; {_wanted(config)}")


def _texts(path: Path) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in lines(path, None))


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
                return f"line {number} is the first whose sides differ much in length"
    return f"no line before {len(pairs) + 1}, the first that only one of them has, looks odd"


def _of_table(path: Path, config: PairData) -> dict[str, Pairs]:
    if not is_table(path):
        raise DataError(f"{path}: no table of a kind known here; {_wanted(config)}")
    table = read_table(path)
    for column in (config.source, config.target):
        if column not in table.columns:
            raise DataError(
                f"{path} has no column {column!r}; its columns are {', '.join(table.columns)}: "
                "name two of them by --data.source and --data.target"
            )
    sources, targets = (
        [_cell(value, place, column) for value, place in zip(table.values[column], table.places, strict=True)]
        for column in (config.source, config.target)
    )
    rest, test = hold_out_rows(len(table), config.test_fraction)
    kept, held = hold_out_rows(len(rest), config.validation_fraction / (1 - config.test_fraction))
    rows = {"train": rest[kept], "validation": rest[held], "test": test}
    return {
        split: Pairs([sources[row] for row in numbers], [targets[row] for row in numbers])
        for split, numbers in rows.items()
    }


def _cell(value: Any, place: str, column: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: no text in column {column!r}")
    return value

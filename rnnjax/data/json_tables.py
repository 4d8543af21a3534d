"""JSON as a table: an array of objects, or an object a line."""

import itertools
import json
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from rnnjax.data.text_lines import lines
from rnnjax.errors import DataError

Read = tuple[tuple[str, ...], Generator[tuple[str, list[Any]], None, None]]
_MOST_CHARACTERS = 2**31
"""Of an array, which is read at once."""
_LIKE = '{"text": "...", "label": "..."}'


def read(path: Path, encoding: str | None, *, array: bool, ahead: int | None) -> Read:
    """The keys of the objects and the rows, None where an object has no such key.

    Args:
      path: of the file.
      encoding: of the text; None: UTF-8.
      array: whether the file may be an array of objects.
      ahead: of how many objects the keys are taken, in the order in which they come; None: of all.

    Raises:
      DataError: if it is neither; the rows raise it too.
    """
    stream = lines(path, encoding)
    first = next((line for line in stream if line.strip()), "")
    stream.close()
    objects = _of_array(path, encoding) if array and first and not _is_object(first) else _of_lines(path, encoding)
    seen = list(itertools.islice(objects, ahead))
    if not seen:
        raise DataError(f"{path}: there is no row in it")
    columns = tuple(dict.fromkeys(key for _, value in seen for key in value))
    if not columns:
        raise DataError(f"{seen[0][0]}: an object without keys; each names its values, such as {_LIKE}")
    return columns, _rows(columns, itertools.chain(seen, objects))


def _rows(
    columns: tuple[str, ...], objects: Iterator[tuple[str, dict[str, Any]]]
) -> Generator[tuple[str, list[Any]], None, None]:
    for place, value in objects:
        yield place, [value.get(column) for column in columns]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _of_lines(path: Path, encoding: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines(path, encoding), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not a line of JSON ({error})") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: not a JSON object such as {_LIKE}")
        yield f"{path}:{number}", value


def _of_array(path: Path, encoding: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        values = json.loads(_whole(path, lines(path, encoding)))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON that can be read ({error})") from error
    if isinstance(values, dict):  # such as {"data": [...]}
        lists = [value for value in values.values() if isinstance(value, list)]
        values = lists[0] if len(lists) == 1 else None
    if not isinstance(values, list):
        raise DataError(f"{path}: a table in JSON is an array of objects such as [{_LIKE}, ...], or an object a line")
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise DataError(f"{path}, row {number:,}: not a JSON object such as {_LIKE}")
        yield f"{path}, row {number:,}", value


def _whole(path: Path, parts: Iterable[str]) -> str:
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size > _MOST_CHARACTERS:
            raise DataError(f"{path}: too large for one array of JSON, which is read at once; write an object a line")
    return "".join(kept)

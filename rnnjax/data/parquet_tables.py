"""Parquet as a table, by pyarrow."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from rnnjax.data.files import regular
from rnnjax.errors import DataError

Read = tuple[tuple[str, ...], Generator[tuple[str, tuple[Any, ...]], None, None]]
_ROWS = 4096
_NONE = (ValueError, TypeError, ArithmeticError, LookupError, NotImplementedError, OSError)
"""What pyarrow raises at files and values that it cannot read; its own errors are of these, or an ArrowException."""


def read(path: Path) -> Read:
    """The columns and the rows, with Python's values: ``datetime`` for times, lists and dictionaries for nested ones.

    Raises:
      DataError: if pyarrow is not installed, or it is no such file; the rows raise it too.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet is read by pyarrow: pip install 'rnnjax[tables]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(regular(path))
        columns = tuple(str(name) for name in file.schema_arrow.names)
    except (*_NONE, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({_first_line(error)})") from error
    if not columns:
        file.close()
        raise DataError(f"{path}: there is no column in it")
    return columns, _rows(path, file, (*_NONE, pyarrow.ArrowException))


def _rows(path: Path, file: Any, errors: Any) -> Generator[tuple[str, tuple[Any, ...]], None, None]:
    number = 0
    with file:
        try:
            for batch in file.iter_batches(_ROWS):
                # By number: names may occur twice.
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield f"{path}, row {number:,}", row
        except errors as error:
            raise DataError(f"{path}, row {number + 1:,} or after: cannot be read ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

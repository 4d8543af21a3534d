"""Which documents a table of labels is of: a JSON file beside it, which leaves the table to whoever reads tables."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from rnnjax import digests
from rnnjax.data.files import digest
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.files import read_json, write_text


def beside(table: Path) -> Path:
    """The record of a table: its name with ``.json`` behind it."""
    return table.with_name(f"{table.name}.json")


def write(table: Path, name: str, split: str, documents: Iterable[str]) -> None:
    """Records which documents a table that was just written is of.

    Args:
      table: the file.
      name, split: of the data set and of its part.
      documents: all of that part, in their order, which the table's rows number from 0.
    """
    known = {"data": name, "split": split, "documents": digests.of_documents(documents), "table": digest(table)}
    write_text(beside(table), json.dumps(digests.sealed(known), indent=1) + "\n")


def check(table: Path, name: str, split: str, documents: Callable[[], str]) -> tuple[str, ...]:
    """Whether a table is of the documents that are there.

    Args:
      table: the file.
      name, split: of the data set and of its part.
      documents: gives :func:`rnnjax.digests.of_documents` of that part; asked where something is recorded.

    Returns:
      What is to be said of it, a sentence each: that nothing is recorded, or not of the table as it is now.

    Raises:
      DataError: if it was made of other documents, or the record is damaged.
    """
    path = beside(table)
    if not path.exists():
        return (f"{table} has no {path.name} beside it: whether it was made of these documents of {split} is unknown",)
    try:
        known = read_json(path, "a record of labels")
    except (UsageError, RunError) as error:
        raise DataError(f"{error}; label the documents again") from error
    if not {"documents", "table"} <= set(known) or not digests.is_whole(known):
        raise DataError(f"{path} is not as it was written; label the documents again")
    if known["documents"] != documents():
        raise DataError(
            f"{table} labels other documents than those of {split} of {name} are now; label these, or name by "
            "--data.data-dir those that it labels"
        )
    changed = known["table"] != digest(table)
    return (f"{table} was changed since {path.name} was written beside it",) if changed else ()

"""A column that says which split each row is of: rows are split anew all the same, so that a user is told of it."""

from rnnjax.data.document_folders import SPLITS
from rnnjax.data.tables import Table

_NAMES = ("split", "set", "subset", "partition", "fold")


def said(table: Table) -> list[str]:
    """A sentence on a column such as ``split`` with train and test in it; nothing where there is none."""
    for name in table.columns:
        if name.strip().lower() not in _NAMES:
            continue
        values = {str(value).strip().lower() for value in table.values[name]}
        if values <= set(SPLITS) and len({SPLITS[value] for value in values}) > 1:
            return [
                f"{table.path.name}: the column {name!r} says {', '.join(sorted(values))}, and is not followed: the "
                "rows are split anew; to keep these splits, write each to a file of its own"
            ]
    return []

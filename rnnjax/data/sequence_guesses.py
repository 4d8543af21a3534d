"""What columns of sequences may be, for messages that name a remedy; nothing is read by these guesses alone."""

from collections.abc import Collection, Sequence

import numpy as np

from rnnjax.data import sequence_cells as cells
from rnnjax.data.tables import Table


def label(table: Table, taken: Collection[str | None], ids: str | None) -> str | None:
    """The column that may hold the labels: the only one of words, or else the only one with one value a sequence.

    Args:
      table: the table.
      taken: columns that are something else.
      ids: the column that tells sequences apart; None: none does.
    """
    others = [name for name in table.columns if name not in taken and name != ids]
    words = [name for name in others if _are_words(table, name)]
    if words or ids is None:
        return words[0] if len(words) == 1 else None
    same = [name for name in others if _one_a_sequence(table, name, ids)]
    return same[0] if len(same) == 1 else None


def _are_words(table: Table, name: str) -> bool:
    """Whether most cells are words, and the same ones again and again."""
    values = table.values[name]
    words = {cells.label(value) for value in values if cells.number(value) is None}
    return sum(cells.number(value) is None for value in values) > len(values) / 2 and 1 < len(words) <= len(values) / 2


def _one_a_sequence(table: Table, name: str, ids: str) -> bool:
    found: dict[str | None, str | None] = {}
    for owner, value in zip(table.values[ids], table.values[name], strict=True):
        text = cells.label(value)
        if found.setdefault(cells.label(owner), text) != text:
            return False
    return len(set(found.values())) > 1


def rising(names: Sequence[str], array: np.ndarray, sequences: Sequence[Sequence[int]]) -> list[str]:
    """The columns of values that rise with every step of every sequence, as times and counters do.

    Args:
      names: of the columns.
      array: their values, ``[rows, columns]``, NaN where one is missing.
      sequences: the rows of each sequence, in order.
    """
    if max(map(len, sequences), default=0) < 3:
        return []
    steps = np.concatenate([np.diff(array[rows], axis=0) for rows in sequences])
    return [name for number, name in enumerate(names) if (steps[:, number] > 0).all()]

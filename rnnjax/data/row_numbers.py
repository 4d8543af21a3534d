"""Columns that number the rows of a table: they tell where a row stood, and with it its class where rows are sorted."""

import itertools
import re
from collections.abc import Sequence

_INDEX = re.compile(r"index|level_0|unnamed: 0|__index_level_\d+__")
"""What pandas calls an index that it writes into a table; in a CSV it mostly has no name at all."""
_FEWEST = 10
"""Rows from which on a run of numbers is no accident, whatever its column is called."""


def number_rows(
    numbers: Sequence[float | None], name: str, *, nameless: bool = False, first: bool = False, long: bool = False
) -> bool:
    """Whether a column numbers the rows, in whatever order these now stand.

    Args:
      numbers: what it holds; None where that is no number.
      name: what it is called.
      nameless: whether the file gave it no name, though it names others.
      first: whether it is the first column, where an index without a name stands.
      long: whether a column of any name does, that counts ``_FEWEST`` rows or more from 0 or 1 on.
    """
    if len(numbers) < 2 or not all(value is not None and value.is_integer() for value in numbers):
        return False
    whole = [int(value) for value in numbers if value is not None]
    counted = whole[0] in (0, 1) and all(b - a == 1 for a, b in itertools.pairwise(whole))
    index = _INDEX.fullmatch(name.strip().lower()) is not None
    if (index or (nameless and first)) and len(set(whole)) == len(whole):
        return True  # also of rows that were shuffled, or of which some were taken out
    return counted and (index or first or (long and len(whole) >= _FEWEST))

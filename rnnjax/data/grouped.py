"""Splits that keep together what belongs together: copies of one example, and rows of one group."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from rnnjax.data.examples import hold_out
from rnnjax.errors import DataError


class Forest:
    """Rows that are joined to groups, two at a time (union-find, with halved paths; Tarjan and van Leeuwen 1984)."""

    def __init__(self, rows: int):
        self._parent, self._size = list(range(rows)), [1] * rows

    def join(self, one: int, other: int, largest: float = math.inf) -> None:
        """Makes one group of those of two rows, unless it would have more than ``largest`` rows."""
        first, second = sorted((self._root(one), self._root(other)))
        if first != second and self._size[first] + self._size[second] <= largest:
            self._parent[second] = first
            self._size[first] += self._size[second]

    def groups(self) -> np.ndarray:
        """A number for each row, ``[N]`` int64, in the order in which groups begin."""
        return np.unique([self._root(row) for row in range(len(self._parent))], return_inverse=True)[1]

    def _root(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row


def groups_of(*keys: Sequence[Hashable | None]) -> np.ndarray:
    """A number for each row, the same for rows that share a key in any of the sequences, directly or by others.

    Args:
      keys: sequences of one length; a row of None shares nothing there.

    Returns:
      ``[N]`` int64, numbered in the order in which groups begin.
    """
    forest = Forest(len(keys[0]))
    for sequence in keys:
        first: dict[Hashable, int] = {}
        for row, key in enumerate(sequence):
            if key is not None:
                forest.join(first.setdefault(key, row), row)
    return forest.groups()


def hold_out_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    names: Sequence[str],
    seed: int = 0,
    *,
    of: str = "example",
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`rnnjax.data.examples.hold_out`, with every group whole in one part.

    Without groups of several rows it is that cut. Else the groups of several rows go, the largest first and in an
    order by ``seed``, to where the shares of the classes come nearer to the fraction; then single rows fill each class
    up. Every class that has two groups is in both parts.

    Args:
      labels: ``[N]`` class numbers.
      groups: ``[N]``, see :func:`groups_of`.
      fraction: to hold out.
      names: of the classes, for the error's sentence.
      seed: of the order.
      of: what a row is, in the error's sentence.

    Raises:
      DataError: if all rows of a class are one group, so that one part would lack the class.
    """
    counts = np.bincount(labels, minlength=len(names))
    members = _members(groups)
    _require_two(labels, groups, counts, names, of)
    if len(members) == len(labels):
        return hold_out(labels, fraction, seed)
    rng = np.random.default_rng(seed)
    several = [rows for rows in members.values() if len(rows) > 1]
    order = sorted(rng.permutation(len(several)).tolist(), key=lambda number: -len(several[number]))
    wanted = fraction * counts
    held = _nearer((several[number] for number in order), labels, counts, wanted)
    left = wanted - np.bincount(labels[held], minlength=len(names))
    singles = np.array(sorted(rows[0] for rows in members.values() if len(rows) == 1), int)
    for label in range(len(names)):
        of_class = rng.permutation(singles[labels[singles] == label])
        held += of_class[: max(0, round(left[label]))].tolist()
    return _both_parts(labels, groups, members, held)


def hold_out_any(
    labels: np.ndarray, groups: np.ndarray, fraction: float, names: Sequence[str], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`hold_out_groups`, of groups in an order by ``seed`` whatever their size.

    The parts have groups of all sizes, as the whole has them; the largest first would put nothing else into the held
    one where there are many. It is nearly as close to the fraction if groups are small beside the part.
    """
    counts = np.bincount(labels, minlength=len(names))
    members = _members(groups)
    _require_two(labels, groups, counts, names, "document")
    every = list(members.values())
    order = np.random.default_rng(seed).permutation(len(every)).tolist()
    held = _nearer((every[number] for number in order), labels, counts, fraction * counts)
    return _both_parts(labels, groups, members, held)


def _members(groups: np.ndarray) -> dict[int, list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    return members


def _nearer(order: Iterable[list[int]], labels: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> list[int]:
    """The rows of the groups by which the shares of the classes come nearer to what is wanted, one after the other."""
    held: list[int] = []
    held_counts = np.zeros(len(counts))
    for rows in order:
        of_group = np.bincount(labels[rows], minlength=len(counts))
        gap = (held_counts - wanted) / np.maximum(counts, 1)
        if np.sum((gap + of_group / np.maximum(counts, 1)) ** 2) < np.sum(gap**2):
            held += rows
            held_counts = held_counts + of_group
    return held


def _both_parts(
    labels: np.ndarray, groups: np.ndarray, members: dict[int, list[int]], held: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    inside = np.zeros(len(labels), bool)
    inside[held] = True
    _in_both(labels, groups, members, inside)
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def _require_two(labels: np.ndarray, groups: np.ndarray, counts: np.ndarray, names: Sequence[str], of: str) -> None:
    pairs = np.unique(np.stack([labels, groups]), axis=1)[0]
    for label, number in enumerate(np.bincount(pairs, minlength=len(names))):
        if number < 2:
            why = f"its {counts[label]} rows are copies of one {of}, or one group"
            why = why if counts[label] > 1 else f"{counts[label]} of {len(labels)} rows is left for it"
            raise DataError(
                f"the class {names[label]!r} cannot be split in two: {why}; give other {of}s of it, or leave it out"
            )


def _in_both(labels: np.ndarray, groups: np.ndarray, members: dict[int, list[int]], inside: np.ndarray) -> None:
    """Moves the smallest group of a class that a part lacks; ``inside`` is changed."""
    for label in np.unique(labels).tolist():
        rows = np.flatnonzero(labels == label)
        for part in (True, False):
            if (inside[rows] == part).any():
                continue
            sizes = Counter(groups[rows].tolist())
            for group in sorted(sizes, key=lambda group: (len(members[group]), group)):
                others = [other for row in members[group] if (other := int(labels[row])) != label]
                left = [((labels == other) & (inside != part)).sum() > others.count(other) for other in set(others)]
                if all(left):  # no other class loses its last there
                    inside[members[group]] = part
                    break

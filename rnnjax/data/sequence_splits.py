"""Which sequences are trained on, validated on and tested on: groups, and exact duplicates, stay in one split."""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnjax.data.examples import hold_out, hold_out_rows
from rnnjax.data.sequence_targets import Targets
from rnnjax.data.sequences import Found, Series, count
from rnnjax.errors import DataError

_MOST_FOLDS = 20


class Splits(NamedTuple):
    """Numbers of the sequences of each split, rising, and lines that say how they were cut."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    understood: tuple[str, ...]


def cut(
    found: Found, targets: Targets, *, test_fraction: float, validation_fraction: float, hold_out: Sequence[str]
) -> Splits:
    """Cuts what the data do not cut themselves; the same for all seeds of an experiment.

    Args:
      found: all sequences.
      targets: what is learned; parts are stratified by class.
      test_fraction, validation_fraction: shares of all, and of what is left.
      hold_out: groups that are tested on.

    Raises:
      DataError: where a split would be empty, or a class has too few sequences to be trained on.
    """
    series = found.series
    given_test, given_validation = set(found.test), set(found.validation)
    if hold_out:
        given_test |= _held_out(found, hold_out)
    pool = np.array([n for n in range(len(series)) if n not in given_test | given_validation], np.int64)
    if not len(pool):
        raise DataError(f"{found.path}: no sequence is left to train on")
    classes = _classes(targets, series)
    units = np.arange(len(series))
    units[pool], lines = _units(series, pool)
    test, validation = np.array(sorted(given_test), np.int64), np.array(sorted(given_validation - given_test), np.int64)
    parts = 1 + (not len(test)) + (not len(validation))
    _check_enough(found, targets, classes, pool, parts)
    if not len(test):
        pool, test = _part(found, pool, classes, units, test_fraction, "test")
    lines += _groups_said(series, test, "test")
    if not len(validation):
        pool, validation = _part(found, pool, classes, units, validation_fraction, "validation")
    lines += _groups_said(series, validation, "validation")
    if classes is not None:
        absent = sorted(set(classes[np.concatenate([validation, test])]) - set(classes[pool]))
        if absent:
            raise DataError(
                f"{found.path}: {targets.names[absent[0]]!r} is in no sequence that is trained on; give more of it, or "
                "hold out other groups"
            )
    return Splits(pool, validation, test, tuple(lines))


def _classes(targets: Targets, series: Sequence[Series]) -> np.ndarray | None:
    return targets.encode(series, 0)["labels"] if targets.kind == "class" else None


def _held_out(found: Found, names: Sequence[str]) -> set[int]:
    groups = sorted({one.group for one in found.series if one.group is not None})
    if not groups:
        raise DataError(
            f"{found.path}: --data.hold-out names groups, and there are none; say where they stand by "
            "--data.group-column or a {group} in --data.name-pattern"
        )
    for name in names:
        if name not in groups:
            near = difflib.get_close_matches(name, groups, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the groups are {', '.join(groups[:10])}"
            raise DataError(f"{found.path}: there is no group {name!r} to hold out; {hint}")
    return {number for number, one in enumerate(found.series) if one.group in names}


def _units(series: Sequence[Series], pool: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A number for each sequence of a pool, the same for those that stay together: of one group, or exactly alike."""
    first: dict[object, int] = {}
    parent = list(range(len(pool)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    labels: dict[bytes, set[object]] = {}
    again = 0
    for number, one in enumerate(series[int(n)] for n in pool):
        digest = hashlib.sha256(f"{one.steps.dtype} {one.steps.shape}".encode())
        digest.update(np.ascontiguousarray(one.steps).tobytes())
        again += digest.digest() in first
        labels.setdefault(digest.digest(), set()).add((one.labels, one.step_labels))
        keys = [digest.digest()] + ([] if one.group is None else [("group", one.group)])
        for key in keys:
            parent[root(number)] = root(first.setdefault(key, number))
    lines = [f"exactly like others: {count(again, 'sequence')}; they stay in one split with those"] * bool(again)
    other = sum(len(found) > 1 for found in labels.values())
    lines += [f"the same values with different labels: {count(other, 'sequence')}"] * bool(other)
    return pool[[root(number) for number in range(len(pool))]], lines


def _check_enough(found: Found, targets: Targets, classes: np.ndarray | None, pool: np.ndarray, parts: int) -> None:
    """Each class needs a sequence in every part that is cut, or a run could not be chosen or trusted."""
    if classes is None:
        return
    counts = Counter(classes[pool].tolist())
    rare = min(counts, key=lambda number: (counts[number], number))
    if counts[rare] < parts:
        place = found.series[next(n for n in pool if classes[n] == rare)].place
        raise DataError(
            f"{place}: the class {targets.names[rare]!r} has {counts[rare]} of {len(pool):,} sequences, and a class "
            f"needs {parts}, one for each part that is cut; add some, or leave the class out"
        )


def _part(
    found: Found, pool: np.ndarray, classes: np.ndarray | None, units: np.ndarray, fraction: float, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a pool, and a part of it."""
    different = len(set(units[pool].tolist()))
    if different < 2:
        raise DataError(
            f"{found.path}: all sequences are of one group, and {name} needs another; give more, or leave groups out"
        )
    if different < len(pool):
        return _grouped(pool, classes, units, fraction)
    if classes is None:
        kept, held = hold_out_rows(len(pool), max(fraction, 1 / len(pool)))
    else:
        least = len(set(classes[pool].tolist())) / len(pool)
        kept, held = hold_out(classes[pool], max(fraction, least))
    return pool[kept], pool[held]


def _grouped(
    pool: np.ndarray, classes: np.ndarray | None, units: np.ndarray, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of the folds that scikit-learn makes of whole units, stratified by class, the one that is nearest in size."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(max(round(1 / fraction), 2), len(set(units[pool].tolist())), _MOST_FOLDS)
    if classes is None:
        made = GroupKFold(folds).split(pool, groups=units[pool])
    else:
        folds = min(folds, min(Counter(classes[pool].tolist()).values()))
        made = StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(pool, classes[pool], units[pool])
    wanted = fraction * len(pool)
    kept, held = min((part for part in made if len(part[1])), key=lambda part: abs(len(part[1]) - wanted))
    return pool[kept], pool[held]


def _groups_said(series: Sequence[Series], rows: np.ndarray, split: str) -> list[str]:
    groups = Counter(group for row in rows if (group := series[row].group) is not None)
    listed = ", ".join(f"{name} ({number:,})" for name, number in sorted(groups.items())[:10])
    return [f"groups in {split}: {listed}" + (", ..." if len(groups) > 10 else "")] * bool(groups)

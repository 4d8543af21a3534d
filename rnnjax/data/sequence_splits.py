"""Which sequences are trained on, validated on and tested on: groups, and exact duplicates, stay in one split."""

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnjax.data.examples import hold_out, hold_out_rows
from rnnjax.data.grouped import groups_of, hold_out_groups
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
    units = np.zeros(len(series), np.int64)
    units[pool], lines = _units([series[int(number)] for number in pool])
    test, validation = np.array(sorted(given_test), np.int64), np.array(sorted(given_validation - given_test), np.int64)
    parts = 1 + (not len(test)) + (not len(validation))
    _check_enough(found, targets, classes, pool, parts)
    if not len(test):
        pool, test = _part(found, pool, classes, units, test_fraction, "test", targets.names)
    if not len(validation):
        pool, validation = _part(found, pool, classes, units, validation_fraction, "validation", targets.names)
    for split, rows in (("test", test), ("validation", validation)):
        lines += _groups_said(series, pool, rows, split)
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


def _units(series: Sequence[Series]) -> tuple[np.ndarray, list[str]]:
    """A number for each sequence, the same for those that stay together: of one group, or exactly alike."""
    digests = []
    for one in series:
        digest = hashlib.sha256(f"{one.steps.dtype} {one.steps.shape}".encode())
        digest.update(np.ascontiguousarray(one.steps).tobytes())
        digests.append(digest.digest())
    again = len(digests) - len(set(digests))
    lines = [f"exactly like others: {count(again, 'sequence')}; they stay in one split with those"] * bool(again)
    labels = {(digest, one.labels or one.step_labels) for digest, one in zip(digests, series, strict=True)}
    other = len(labels) - len(set(digests))
    lines += [f"the same values with different labels: {count(other, 'sequence')}"] * bool(other)
    return groups_of(digests, [one.group for one in series]), lines


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
    found: Found,
    pool: np.ndarray,
    classes: np.ndarray | None,
    units: np.ndarray,
    fraction: float,
    name: str,
    names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a pool, and a part of it."""
    different = len(set(units[pool].tolist()))
    if different < 2:
        raise DataError(
            f"{found.path}: all sequences are alike or of one group, and {name} needs another; give more, or leave "
            "groups out"
        )
    if different < len(pool):
        return _grouped(pool, classes, units, fraction, names)
    if classes is None:
        kept, held = hold_out_rows(len(pool), max(fraction, 1 / len(pool)))
    else:
        least = len(set(classes[pool].tolist())) / len(pool)
        kept, held = hold_out(classes[pool], max(fraction, least))
    return pool[kept], pool[held]


def _grouped(
    pool: np.ndarray, classes: np.ndarray | None, units: np.ndarray, fraction: float, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Whole units: of classes, such that each is in both parts; else the fold that is nearest to the fraction."""
    if classes is not None:
        kept, held = hold_out_groups(classes[pool], units[pool], fraction, names, of="sequence")
        return pool[kept], pool[held]
    from sklearn.model_selection import GroupKFold

    folds = min(max(round(1 / fraction), 2), len(set(units[pool].tolist())), _MOST_FOLDS)
    made = GroupKFold(folds).split(pool, groups=units[pool])
    kept, held = min(made, key=lambda part: abs(len(part[1]) - fraction * len(pool)))
    return pool[kept], pool[held]


def _groups_said(series: Sequence[Series], pool: np.ndarray, rows: np.ndarray, split: str) -> list[str]:
    """The groups of a split, and those of them that are trained on too, as the data's own splits may have it."""
    groups, trained = (Counter(g for row in of if (g := series[row].group) is not None) for of in (rows, pool))
    lines = [f"groups in {split}: {_listed([f'{name} ({number:,})' for name, number in sorted(groups.items())])}"]
    both = sorted(set(groups) & set(trained))
    lines += [f"groups in {split} that are trained on too, as the data are split: {_listed(both)}"] * bool(both)
    return lines * bool(groups)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")

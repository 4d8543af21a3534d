"""Splits of images that a user has not split: by class, the same way each time, and all copies of one together."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data import image_facts
from rnnjax.data.examples import SPLITS, Examples, hold_out
from rnnjax.data.grouped import groups_of, hold_out_groups
from rnnjax.data.images import ImageFolderData
from rnnjax.errors import DataError


class Split(NamedTuple):
    """Images and the files that they come from.

    Attributes:
      examples: as arrays.
      places: a file each.
    """

    examples: Examples
    places: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "Split":
        """The images at ``rows``."""
        return Split(self.examples.take(rows), tuple(self.places[row] for row in rows.tolist()))


class Cut(NamedTuple):
    """The three splits, and what is to be said of them.

    Attributes:
      examples, places: by split.
      understood: facts, a line each.
      notes: what looks wrong, a sentence each.
    """

    examples: dict[str, Examples]
    places: dict[str, tuple[str, ...]]
    understood: tuple[str, ...]
    notes: tuple[str, ...]


def cut(given: Mapping[str, Split], names: Sequence[str], root: Path, config: ImageFolderData) -> Cut:
    """Cuts what is not given from ``train``: first test, then validation.

    Raises:
      DataError: if the copies of one image are all that a class has.
    """
    splits = dict(given)
    keys = {split: image_facts.pixels(np.asarray(of.examples["inputs"])) for split, of in splits.items()}
    for split, fraction in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if split in given:
            continue
        train, its_keys = splits["train"], keys["train"]
        parts = 2 + (split == "test" and "validation" not in given)
        kept, held = _hold_out(train, its_keys, fraction, names, root, parts)
        splits |= {"train": train.take(kept), split: train.take(held)}
        keys |= {"train": [its_keys[row] for row in kept], split: [its_keys[row] for row in held]}
    splits, keys = {split: splits[split] for split in SPLITS}, {split: keys[split] for split in SPLITS}
    labels = {split: of.examples["labels"] for split, of in splits.items()}
    places = {split: of.places for split, of in splits.items()}
    missing = [split for split in SPLITS if split not in given]
    lines = [image_facts.classes(names, labels), *image_facts.copies(keys)]
    if missing:
        lines.append(f"{' and '.join(missing)} cut from train, by class and the same way each time")
    notes = [
        *image_facts.crossing(keys, places, [split for split in SPLITS[1:] if split in given]),
        *image_facts.contradictions(keys, labels, places, names),
    ]
    return Cut({split: of.examples for split, of in splits.items()}, places, tuple(lines), tuple(notes))


def _hold_out(
    train: Split, keys: Sequence[bytes], fraction: float, names: Sequence[str], root: Path, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and to hold out; of each class at least one where there are as many as a small part holds."""
    labels = np.asarray(train.examples["labels"])
    if math.ceil(fraction * len(labels)) < len(names):
        fraction = len(names) / len(labels)
    groups = groups_of(keys)
    if len(np.unique(groups)) == len(groups):
        return hold_out(labels, fraction)
    for number, name in enumerate(names):
        different = len(np.unique(groups[labels == number]))
        if different < parts:
            raise DataError(
                f"{root}: of the class {name!r} there are {different} different image(s) and copies of them; "
                f"a class needs {parts} or more, to train and to test on"
            )
    return hold_out_groups(labels, groups, fraction, names, of="image")

"""Folders of images that can be understood in two ways: the user is asked, and told which option answers."""

import re
from collections import Counter
from collections.abc import Mapping

from rnnjax.data import image_files
from rnnjax.data.image_lists import Listed
from rnnjax.data.image_tree import Tree
from rnnjax.data.usual_names import SPLITS
from rnnjax.errors import DataError


def if_like_splits(tree: Tree) -> None:
    """Raises DataError at folders such as ``training_set`` and ``test_set``, which could be classes or splits."""
    names = tree.top()
    words = {name: set(re.split(r"[^a-z]+", name.lower())) for name in names}
    alike = [name for name in names if words[name] & set(SPLITS)]
    trains = [name for name in alike if {"train", "training"} & words[name]]
    if trains and len(alike) > len(trains):
        raise DataError(
            f"{tree.root}: are {' and '.join(alike)} classes or splits? If they are splits, call the folders train, "
            "val and test; if they are classes, give --data.classes-from top"
        )


def if_parents_recur(tree: Tree) -> None:
    """Raises DataError where the same folders recur within those that would be classes, and hold all the images."""
    images = image_files.images(tree)
    deep = [entry for entry in images if len(entry.parts) > 2]
    if not deep or any(len(entry.parts) == 2 for entry in images):
        return
    tops, parents = Counter(entry.parts[0] for entry in deep), Counter(entry.parts[-2] for entry in deep)
    within = Counter(parent for _, parent in {(entry.parts[0], entry.parts[-2]) for entry in deep})
    recurring = [name for name in parents if within[name] > 1]
    if len(tops) > 1 and len(parents) > 1 and 2 * len(recurring) > len(parents):
        raise DataError(
            f"{tree.root}: what are the classes? The folders directly in it, {_counted(tops)}: then give "
            f"--data.classes-from top. Or the folders that the images lie in, {_counted(parents)}: then give "
            "--data.classes-from parent"
        )


def if_folders_differ(tree: Tree, listed: Listed) -> None:
    """Raises DataError where images lie in folders of classes, and a table gives them others."""
    folders = {entry.parts[0] for entry in image_files.images(tree) if len(entry.parts) == 2}
    if len(folders) < 2 or any(folder.lower() in SPLITS for folder in folders):
        return
    other = [image for image in listed.images if len(image.entry.parts) > 1 and image.label not in image.entry.parts]
    if other:
        raise DataError(
            f"{tree.root}: what are the classes? By the table, {other[0].entry.source} is of the class "
            f"{other[0].label!r}; by its folder, of {other[0].entry.parts[0]!r}. Give --data.classes-from table, or "
            "--data.classes-from top for the folders"
        )


def _counted(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts)
    shown = ", ".join(f"{name} ({counts[name]:,})" for name in ranked[:5])
    return f"{shown} and {len(ranked) - 5:,} more" if len(ranked) > 5 else shown

"""Whether documents are those that a classifier was trained on: digests of the splits, kept beside what was trained."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnjax import digests, terminal
from rnnjax.data import sources
from rnnjax.data.documents import TextData
from rnnjax.data.tokenized import Documents
from rnnjax.errors import DataError

FIELD = "fingerprint"
"""What a result calls the digests."""


def fingerprint(splits: Mapping[str, Documents]) -> dict[str, str]:
    """By split, SHA-256 of the documents and the labels in their order."""
    return {
        split: digests.of_json([digests.of_documents(documents), digests.of_array(labels)])
        for split, (documents, labels) in splits.items()
    }


def documents(section: TextData, class_names: Sequence[str], root: Path) -> tuple[str, dict[str, Documents]]:
    """The data set's name and its splits, of the classes that a model in a folder tells apart.

    Raises:
      DataError: if they are of other classes, or cannot be read.
    """
    name, theirs, splits = sources.documents(section)
    if tuple(theirs) != tuple(class_names):
        raise DataError(
            f"{root} was trained on the classes {_shown(class_names)}, and those of {name} are {_shown(theirs)}; "
            "name its data by --data-dir"
        )
    return name, splits


def check(root: Path, known: Any, now: Mapping[str, str], names: Iterable[str], *, other_data: bool | None) -> None:
    """Whether splits are as they were in training.

    Args:
      root: the folder of what was trained.
      known: the digests of then, by split; what is no mapping was written by a version that kept none.
      now: those of now.
      names: of the splits that matter.
      other_data: whether others are allowed, with a note; None: nobody can ask for that.

    Raises:
      DataError: if one is another, and that is not allowed.
    """
    if not isinstance(known, Mapping):
        terminal.note(f"{root} is of a version that did not record its data: whether these are the same is not checked")
        return
    for split in names:
        if known.get(split) in (None, now[split]):
            continue
        if not other_data:
            asked = "" if other_data is None else ", or give --other-data to evaluate on these all the same"
            raise DataError(
                f"{root} was trained on other data: the {split} split is not the one of its training; "
                f"name its data by --data-dir, train it again on these{asked}"
            )
        terminal.note(f"the {split} split is not the one of the training")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + ", ..." * (len(names) > 5)

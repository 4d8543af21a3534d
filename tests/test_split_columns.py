"""A table whose column says which row is to test on is split anew, and that is said."""

import csv

import numpy as np
import pytest

from rnnjax import data
from rnnjax.data.documents import TextTable
from rnnjax.data.images import ImageFolderData
from rnnjax.data.sequence_table import SequenceTable
from tests import sequences_made as made
from tests.test_table import many


def with_splits(path, rows, name="split"):
    """The rows with a column more, of which every third is to test on."""
    added = [name, *("test" if row % 3 else "train" for row in range(len(rows) - 1))]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*row, value] for row, value in zip(rows, added, strict=True))
    return str(path)


def texts(folder, name):
    section = TextTable(path=with_splits(folder / "a.csv", [("text", "label"), *many(30)], name))
    return data.load(section)


def sequences(folder, name):
    lines = made.wide_table(folder / "w.csv").read_text().splitlines()
    section = SequenceTable(path=with_splits(folder / "w.csv", list(csv.reader(lines)), name), batch_size=4)
    return data.load(section)


def images(folder, name):
    from PIL import Image

    for row in range(12):
        Image.fromarray(np.full((4, 4, 3), 20 * row, np.uint8)).save(folder / f"p{row}.png")
    with_splits(
        folder / "labels.csv", [("file", "label"), *((f"p{row}.png", "ab"[row % 2]) for row in range(12))], name
    )
    return data.load(ImageFolderData(data_dir=str(folder), height=4, width=4, batch_size=4))


@pytest.mark.parametrize("kind", [texts, sequences, images])
def test_a_column_of_splits_that_is_not_followed_is_said(kind, tmp_path):
    for name, expected in (("Split", True), ("day", False)):
        dataset = kind(tmp_path, name)
        shown = "\n".join((*dataset.understood, *dataset.notes))
        assert ("the column 'Split' says test, train, and is not followed" in shown) == expected

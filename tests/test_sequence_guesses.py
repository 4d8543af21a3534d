"""Tables of sequences whose columns have names of their own: the remedy is named at once, and what is told is told."""

import csv

import numpy as np
import pytest

from rnnjax import data
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import DataError
from tests import sequences_made as made


def table(path, rows, header):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def beats(path, *, numeric=False):
    """Six recordings of three steps and more, with columns that are called as a hospital calls them."""
    rows = [
        [f"P{n}", round(0.01 * step, 2), np.sin(n * step), (n % 3 if numeric else ("sinus", "flutter")[n % 2])]
        for n in range(20)
        for step in range(3 + n % 4)
    ]
    return table(path, rows, ["patient", "beat", "lead", "rhythm"])


def loaded(path, **options):
    return data.load(SequenceTable(path=str(path), batch_size=4, **options))


@pytest.mark.parametrize("numeric", [False, True])
def test_one_message_names_the_columns_of_ids_and_labels(numeric, tmp_path):
    path = beats(tmp_path / "beats.csv", numeric=numeric)
    with pytest.raises(DataError, match=r"say which: --data.id-column patient --data.label-column rhythm, or"):
        loaded(path)
    with pytest.raises(DataError, match=r"labels by --data.label-column, such as --data.label-column rhythm$"):
        loaded(path, id_column="patient")


def test_a_value_that_rises_with_every_step_is_said_to_look_like_a_time(tmp_path):
    path = beats(tmp_path / "beats.csv")
    said = loaded(path, id_column="patient", label_column=("rhythm",)).understood
    assert "'beat' rises with every step, and is read as a value; --data.time-column beat reads it as the times" in said
    timed = loaded(path, id_column="patient", label_column=("rhythm",), time_column="beat").understood
    assert not any("rises" in line for line in timed)


def test_of_a_table_of_files_and_one_column_more_that_column_is_the_labels(tmp_path):
    root = made.class_folders(tmp_path / "recordings", ".wav")
    files = sorted(root.rglob("*.wav"))
    for number, file in enumerate(files):
        file.replace(root / f"{number}.wav")
    rows = [[f"{number}.wav", file.parent.name] for number, file in enumerate(files)]
    table(root / "labels.csv", rows, ["file", "wave"])
    assert loaded(root).spec.names == ("calm", "wild")
    table(root / "labels.csv", [[*row, "a note"] for row in rows], ["file", "wave", "note"])
    with pytest.raises(DataError, match=r"such as --data.label-column wave$"):
        loaded(root)

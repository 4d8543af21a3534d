"""Which rows of a table are the steps of one sequence: by an id's name, or asked."""

import pytest

from rnnjax.data import sequence_tables
from rnnjax.data.sequences import Reading
from rnnjax.data.tables import read_table
from rnnjax.errors import DataError

IDS = ["p0", "p0", "p0", "p1", "p1", "p2", "p2", "p2", "p2", "p3", "p3", "p3"]


def rows_of_patients(path, header, ids=IDS):
    """Rows of four sequences, labelled by turns."""
    labels = ["wild" if int(name[-1]) % 2 else "calm" for name in ids]
    rows = [f"{name},{row % 5},{row * 0.5},{label}" for row, (name, label) in enumerate(zip(ids, labels, strict=True))]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize("name", ["patient_id", "Patient ID", "userId"])
def test_a_column_that_is_called_the_id_of_something_tells_sequences_apart(tmp_path, name):
    path = rows_of_patients(tmp_path / "t.csv", f"{name},hour,x,label")
    found = sequence_tables.read(read_table(path), Reading(), training=True)
    assert [len(one.steps) for one in found.series] == [3, 2, 4, 3]
    assert any(f"ids in '{name}'" in line for line in found.understood)


def test_rows_that_may_be_steps_are_asked_about_and_a_wide_table_is_not(tmp_path):
    path = rows_of_patients(tmp_path / "t.csv", "engine,cycle,x,label")
    with pytest.raises(DataError, match=r"rows with the same 'engine' follow .*--data.id-column engine, or .*wide"):
        sequence_tables.read(read_table(path), Reading(), training=True)
    for reading, count in ((Reading(id_column="engine"), 4), (Reading(layout="wide"), 12)):
        assert len(sequence_tables.read(read_table(path), reading, training=True).series) == count
    numbers = rows_of_patients(tmp_path / "n.csv", "t0,t1,t2,label", ids=[str(row // 3) for row in range(12)])
    assert len(sequence_tables.read(read_table(numbers), Reading(), training=True).series) == 12

"""New labelled data are no splits of the training: what was trained on is not judged as if it were new."""

import pytest

from rnnjax.errors import DataError
from tests import sequences_made as made
from tests.sequences_made import COUNT
from tests.test_own_documents import load
from tests.test_sequence_files import loaded
from tests.test_table import many, written


def test_a_folder_with_several_splits_is_no_new_data(tmp_path):
    for name, size in (("train", 30), ("test", 12)):
        written(tmp_path / "texts" / name, [(f"{text} {name}", label) for text, label in many(size, ("a", "b"))])
        made.class_folders(tmp_path / "series" / name, ".npy")
    texts, series = load(tmp_path / "texts"), loaded(tmp_path / "series")
    for dataset, folder in ((texts, tmp_path / "texts"), (series, tmp_path / "series")):
        with pytest.raises(DataError, match=r"there are several splits in it.*evaluate one"):
            dataset.preprocess.labelled(folder)
    assert len(texts.preprocess.labelled(tmp_path / "texts" / "test")) == 12
    assert len(series.preprocess.labelled(tmp_path / "series" / "test")) == COUNT


def test_a_ts_file_alone_is_new_data_and_not_the_test_file_beside_it(tmp_path):
    train = made.ts_file(tmp_path / "A_TRAIN.ts", range(16))
    test = made.ts_file(tmp_path / "A_TEST.ts", range(16, COUNT))
    dataset = loaded(train)
    assert [len(dataset.preprocess.labelled(path)) for path in (train, test)] == [16, COUNT - 16]
    with pytest.raises(DataError, match="several splits"):
        dataset.preprocess.labelled(tmp_path)


def test_groups_of_the_training_need_not_be_known_of_new_data(tmp_path):
    rows = [(text, label, f"author {n // 3}") for n, (text, label) in enumerate(many(60))]
    texts = load(written(tmp_path / "t.csv", rows, ("text", "label", "author")), group_column="author")
    assert len(texts.preprocess.labelled(written(tmp_path / "new.csv", many(6)))) == 6
    lines = made.long_table(tmp_path / "s.csv").read_text().splitlines()
    grouped = [f"{line},{'who' if row == 0 else 'p' + line.split(',')[0][1]}" for row, line in enumerate(lines)]
    (tmp_path / "g.csv").write_text("\n".join(grouped) + "\n")
    series = loaded(tmp_path / "g.csv", group_column="who")
    assert len(series.preprocess.labelled(tmp_path / "s.csv")) == COUNT


def test_a_column_of_the_training_that_new_data_have_not_may_be_renamed(tmp_path):
    """The option that names another is one of ``train``."""
    series = loaded(made.long_table(tmp_path / "s.csv"))
    made.long_table(tmp_path / "bare.csv", label=False)
    with pytest.raises(
        DataError, match=r"no column 'label'; .*--data.label-column in training, or rename the one that"
    ):
        series.preprocess.labelled(tmp_path / "bare.csv")

"""Images of one's own as people have them: what is read of each layout, what is asked, and what is said."""

import json
import shutil

import numpy as np
import pytest

from rnnjax.errors import DataError
from tests.pictures import classes, loaded, picture, zipped


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def sizes(dataset):
    return {split: len(examples) for split, examples in dataset.splits().items()}


def refused(root, **options):
    with pytest.raises(DataError) as error:
        loaded(root, **options)
    return str(error.value)


def listed(root, lines, table="labels.csv", folder="images", count=8):
    for number in range(count):
        picture(root / folder / f"{number}.png")
    (root / table).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


# Splits


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_train_val_and_test_are_splits_and_no_classes(tmp_path, validation):
    for split, count in (("train", 5), (validation, 3), ("test", 2)):
        classes(tmp_path / split, count=count)
    dataset = loaded(tmp_path)
    assert dataset.spec.names == ("cat", "dog")
    assert sizes(dataset) == {"train": 10, "validation": 6, "test": 4}
    assert all(f"/{validation}/" in place for place in dataset.places()["validation"])
    assert "2 classes, images in train / validation / test: 'cat' 5 / 3 / 2, 'dog' 5 / 3 / 2" in dataset.understood


def test_without_test_it_is_cut_from_train_and_validation_is_as_given(tmp_path):
    classes(tmp_path / "train", count=10)
    classes(tmp_path / "val", ("dog",), count=3)
    dataset = loaded(tmp_path)
    assert sizes(dataset) == {"train": 16, "validation": 3, "test": 4}
    assert f"{tmp_path / 'val'}: no image of cat" in dataset.notes
    assert "test cut from train, by class and the same way each time" in dataset.understood


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("val", "test"), "val are called as splits are, but there is no train"),
        (("train", "val", "valid"), "val and valid are both validation; leave one of them"),
        (("training_set", "test_set"), "are test_set and training_set classes or splits?"),
        (("train", "test1"), "are test1 and train classes or splits?"),
    ],
)
def test_what_may_be_splits_is_asked_about(tmp_path, folders, message):
    for folder in folders:
        classes(tmp_path / folder)
    assert message in refused(tmp_path)


def test_a_class_may_be_called_train_beside_others(tmp_path):
    classes(tmp_path, ("train", "car", "bus"))
    assert loaded(tmp_path).spec.names == ("bus", "car", "train")


# Nesting


def test_folders_that_recur_below_are_asked_about_and_the_option_answers(tmp_path):
    for year in ("2023", "2024"):
        classes(tmp_path / year)
    message = refused(tmp_path)
    assert "2023 (8), 2024 (8): then give --data.classes-from top" in message
    assert "cat (8), dog (8): then give --data.classes-from parent" in message
    assert loaded(tmp_path, classes_from="top").spec.names == ("2023", "2024")
    dataset = loaded(tmp_path, classes_from="parent")
    assert dataset.spec.names == ("cat", "dog")
    for split, places in dataset.places().items():
        of_dog = ["/dog/" in place for place in places]
        np.testing.assert_array_equal(of_dog, dataset.split(split)["labels"] == 1)


def test_one_folder_around_all_is_none_and_said(tmp_path):
    classes(tmp_path / "export" / "photos")
    dataset = loaded(tmp_path)
    assert dataset.spec.names == ("cat", "dog")
    assert f"what counts lies in {tmp_path / 'export' / 'photos'}" in dataset.understood


# Tables of labels


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        ("labels.csv", ["filename,class", *(f"{n}.png,{'ab'[n % 2]}" for n in range(8))]),
        ("train.csv", ["id;breed;more", *(f"{n};{'ab'[n % 2]};x" for n in range(8))]),
        ("labels.tsv", ["label\tpath", *(f"{'ab'[n % 2]}\tC:\\mine\\images\\{n}.png" for n in range(8))]),
        ("labels.csv", [f"images/{n}.png,{'ab'[n % 2]}" for n in range(8)]),
        ("metadata.jsonl", [f'{{"file_name": "images/{n}.png", "label": "{"ab"[n % 2]}"}}' for n in range(8)]),
    ],
    ids=["names", "ids without suffix", "paths of Windows", "no header", "JSON lines"],
)
def test_a_table_beside_the_images_says_their_classes(tmp_path, table, lines):
    dataset = loaded(listed(tmp_path, lines, table))
    assert dataset.spec.names == ("a", "b")
    assert sum(sizes(dataset).values()) == 8
    for split, places in dataset.places().items():
        odd = [int(place[-5]) % 2 for place in places]
        np.testing.assert_array_equal(dataset.split(split)["labels"], odd)
    assert any(table in line for line in dataset.understood)


def test_images_without_a_row_and_rows_without_an_image_are_named(tmp_path):
    listed(tmp_path, ["file,label", *(f"{n},{'ab'[n % 2]}" for n in range(6)), "nine.png,a"])
    assert f"{tmp_path / 'labels.csv'}:8: there is no image 'nine.png'" in refused(tmp_path)
    dataset = loaded(tmp_path, on_bad_file="skip")
    assert "labels.csv:8" in dataset.notes[0]
    left = f"{tmp_path}: 2 image(s) without a row were left out: {tmp_path}/images/6.png, {tmp_path}/images/7.png"
    assert left in dataset.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.png,", "labels.csv:10: '1.png' has no label"),
        ("1.png,a", "images/1.png: two labels, 'b' ("),
        ("0.png,a", None),
    ],
)
def test_a_row_that_says_nothing_new_or_something_else_is_named(tmp_path, row, message):
    listed(tmp_path, ["file,label", *(f"{n}.png,{'ab'[n % 2]}" for n in range(8)), row])
    if message:
        assert message in refused(tmp_path)
    else:
        assert sum(sizes(loaded(tmp_path)).values()) == 8


def test_a_competitions_train_folder_has_labels_and_its_test_folder_none(tmp_path):
    listed(tmp_path, ["id,label", *(f"{n},{'ab'[n % 2]}" for n in range(8))], "train.csv", "train")
    listed(tmp_path, ["id,label", "0,a", "1,a"], "sample_submission.csv", "test", count=2)
    dataset = loaded(tmp_path)
    assert sum(sizes(dataset).values()) == 8
    assert all("/train/" in place for places in dataset.places().values() for place in places)
    assert "2 image(s) without a row" in dataset.notes[0]


def test_a_table_for_each_split_is_read_as_such(tmp_path):
    for split, count in (("train", 8), ("test", 4)):
        rows = [f"{split}/{n}.png,{'ab'[n % 2]}" for n in range(count)]
        listed(tmp_path, ["file,label", *rows], f"{split}.csv", split, count)
    assert sizes(loaded(tmp_path)) == {"train": 6, "validation": 2, "test": 4}


def test_a_name_that_two_images_have_is_asked_about(tmp_path):
    listed(tmp_path, ["file,label", *(f"{n}.png,{'ab'[n % 2]}" for n in range(8))])
    picture(tmp_path / "more" / "3.png")
    assert "labels.csv:5: '3.png' may be " in refused(tmp_path)


def test_a_table_and_folders_that_disagree_are_asked_about(tmp_path):
    classes(tmp_path)
    rows = [f"{name}/{n}.png,{'new' if n else 'old'}" for name in ("cat", "dog") for n in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    assert "what are the classes? By the table" in refused(tmp_path)
    assert loaded(tmp_path, classes_from="top").spec.names == ("cat", "dog")
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *(row.replace("old", "new") for row in rows[:4])]))
    assert "1 class(es)" in refused(tmp_path, classes_from="table")


@pytest.mark.parametrize("options", [{}, {"classes_from": "table"}, {"label_column": "clas"}])
def test_a_table_without_the_columns_says_which_they_are(tmp_path, options):
    listed(tmp_path, ["picture,kind,size", *(f"{n},{'ab'[n % 2]},3" for n in range(8))])
    message = refused(tmp_path, **options)
    assert "--data.label-column" in message
    assert loaded(tmp_path, label_column="kind").spec.names == ("a", "b")


# Names of files


def test_plain_names_of_files_carry_the_class(tmp_path):
    for number in range(4):
        picture(tmp_path / f"cat.{number}.png")
        picture(tmp_path / f"american_bulldog_{number}.png")
    dataset = loaded(tmp_path)
    assert dataset.spec.names == ("american_bulldog", "cat")
    assert any(line.startswith("classes by the names of the files, such as ") for line in dataset.understood)


@pytest.mark.parametrize("names", [("IMG_", "DSC_"), ("a1b", "c2d"), ("cat", ""), ("0", "1")])
def test_names_of_cameras_and_of_no_kind_are_no_classes(tmp_path, names):
    for number in range(4):
        for name in names:
            picture(tmp_path / f"{name}{number}.png")
    assert "or files whose names begin with their class" in refused(tmp_path)


# What was understood


def test_copies_of_an_image_are_in_one_split_and_what_contradicts_is_named(tmp_path):
    classes(tmp_path, count=10)
    for number in range(5):
        shutil.copy(tmp_path / "cat" / "0.png", tmp_path / "cat" / f"copy{number}.png")
    shutil.copy(tmp_path / "cat" / "1.png", tmp_path / "dog" / "wrong.png")
    dataset = loaded(tmp_path)
    for same in (("cat/0.png", "cat/copy"), ("cat/1.png", "dog/wrong.png")):
        holding = [split for split, places in dataset.places().items() if any(s in p for p in places for s in same)]
        assert len(holding) == 1
    assert "8 of 26 images are copies of 2 (the same pixels as they are read)" in dataset.understood
    assert any(f"{tmp_path}/cat/1.png is 'cat' and {tmp_path}/dog/wrong.png 'dog'" in note for note in dataset.notes)


def test_copies_across_given_splits_are_named(tmp_path):
    for split in ("train", "test"):
        classes(tmp_path / split)
    shutil.copy(tmp_path / "train" / "dog" / "2.png", tmp_path / "test" / "dog" / "new.png")
    notes = loaded(tmp_path).notes
    named = f"{tmp_path}/test/dog/new.png of {tmp_path}/train/dog/2.png"
    assert f"copies in test of images in training, such as {named}, test no new image" in notes


def test_a_class_that_is_one_image_again_and_again_is_refused(tmp_path):
    classes(tmp_path, ("dog",))
    for number in range(5):
        picture(tmp_path / "cat" / f"{number}.png", seed=7)
    assert "of the class 'cat' there are 1 different image(s) and copies of them" in refused(tmp_path)


def test_sizes_and_names_that_are_alike_are_said(tmp_path):
    classes(tmp_path, ("Cat", "cat"), count=3)
    dataset = loaded(tmp_path, height=8)
    assert "images of 9 x 7 pixels, read as 9 x 8; 6 of 6 are enlarged" in dataset.understood
    assert any("'Cat' and 'cat'" in note for note in dataset.notes)


def test_three_images_a_class_are_one_for_each_split(tmp_path):
    assert sizes(loaded(classes(tmp_path, count=3))) == {"train": 2, "validation": 2, "test": 2}


def test_an_address_on_the_web_is_refused_in_a_sentence(tmp_path):
    for address in ("https://example.com/photos", f"{tmp_path}/https:/example.com/photos"):
        assert refused(address).endswith("an address on the web; download it first, and give the file or folder")


# New labelled images


def test_new_labelled_images_are_read_as_training_read_them(tmp_path):
    preprocess = loaded(classes(tmp_path / "train")).preprocess
    new = listed(tmp_path / "new", ["file,label", "0.png,dog", "1.png,cat", "2.png,dog"], count=3)
    examples = preprocess.labelled(new)
    np.testing.assert_array_equal(examples["labels"], [1, 0, 1])
    np.testing.assert_array_equal(examples["inputs"][1], preprocess.read_file(new / "images" / "1.png"))
    one = preprocess.labelled(zipped(classes(tmp_path / "one", ("dog",)), tmp_path / "one.zip"))
    np.testing.assert_array_equal(one["labels"], [1] * 4)
    with pytest.raises(DataError, match=r"bird/0\.png: the class 'bird' is none of training: cat, dog"):
        preprocess.labelled(classes(tmp_path / "other", ("bird", "cat")))
    for split in ("train", "test"):
        classes(tmp_path / "splits" / split)
    with pytest.raises(DataError, match="evaluate one of them"):
        preprocess.labelled(tmp_path / "splits")
    saved = json.loads(json.dumps(preprocess.to_json()))
    assert type(preprocess).from_json(saved).reading == preprocess.reading

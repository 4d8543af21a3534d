"""What is understood of a user's own documents, what is said of it, and how they are split."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import data
from rnnjax.__main__ import main
from rnnjax.config import TextTable
from rnnjax.data import text_facts
from rnnjax.data.document_files import key, read
from rnnjax.data.examples import hold_out
from rnnjax.data.grouped import groups_of, hold_out_groups
from rnnjax.data.preprocess import load as load_preprocess
from rnnjax.data.preprocess import save
from rnnjax.data.tokens import Vocabulary
from rnnjax.errors import DataError, UsageError
from rnnjax.own import TEXTS
from rnnjax.runs import small
from rnnjax.training.parallel import DataParallel
from tests.test_own import SMALL
from tests.test_table import many, written


def load(path, **options):
    return data.load(TextTable(path=str(path), **options))


def said(dataset):
    return "\n".join((*dataset.understood, *dataset.notes))


# Splits


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=8, max_size=60), st.floats(0.1, 0.5))
def test_groups_stay_whole_and_every_class_of_two_groups_is_in_both_parts(rows, fraction):
    labels, groups = np.array([label for label, _ in rows], np.int32), groups_of([group for _, group in rows])
    names = tuple("abc")
    try:
        kept, held = hold_out_groups(labels, groups, fraction, names)
    except DataError:
        assert any(len(set(groups[labels == label].tolist())) < 2 for label in range(3)) or len(set(groups)) == len(
            rows
        )
        return
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(rows)))
    assert not set(groups[kept]) & set(groups[held])
    again = hold_out_groups(labels, groups, fraction, names)
    np.testing.assert_array_equal(again[1], held)
    if len(set(groups)) == len(rows):
        np.testing.assert_array_equal(held, hold_out(labels, fraction)[1])
    assert len(kept) and len(held)


def test_the_share_that_is_held_out_is_near_the_one_that_is_asked_for():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000).astype(np.int32)
    groups = groups_of(np.where(rng.random(2000) < 0.3, rng.integers(0, 60, 2000), np.arange(1000, 3000)).tolist())
    _, held = hold_out_groups(labels, groups, 0.2, ("a", "b"))
    assert abs(len(held) - 400) <= 8
    assert all(abs((labels[held] == label).sum() - 0.2 * (labels == label).sum()) <= 5 for label in (0, 1))


def test_rows_that_share_any_key_are_one_group():
    assert groups_of(["x", "y", "x", None, None], ["1", "1", "2", "3", None]).tolist() == [0, 0, 0, 1, 2]


def test_an_author_is_in_one_split(tmp_path):
    rows = [(f"{text} {i}", label, f"author{i % 15}") for i, (text, label) in enumerate(many(90))]
    path = written(tmp_path / "a.csv", rows, ("text", "label", "author"))
    dataset = load(path, group_column="author")
    authors = {place: row[2] for place, row in zip(read(path).places, rows, strict=True)}
    found = {split: {authors[place] for place in places} for split, places in dataset.places().items()}
    assert not found["train"] & found["test"] and not found["train"] & found["validation"]
    assert "groups in 'author'" in said(dataset) and "15 groups by 'author', each in one split" in said(dataset)
    with pytest.raises(DataError, match="no column 'writer'"):
        load(path, group_column="writer")
    one = written(tmp_path / "one.csv", [(text, label, label) for text, label, _ in rows], ("text", "label", "author"))
    with pytest.raises(DataError, match="the class 'a' cannot be split in two: its 30 rows are copies of one text, or"):
        load(one, group_column="author")


def test_documents_and_places_are_those_of_the_splits(tmp_path):
    dataset = load(written(tmp_path / "a.csv", many(60)))
    documents, places = dataset.documents(), dataset.places()
    for split, examples in dataset.splits().items():
        again = dataset.preprocess.encode(documents[split])
        np.testing.assert_array_equal(again["inputs"][:, : examples["inputs"].shape[1]], examples["inputs"])
        assert len(places[split]) == len(examples)


@pytest.mark.parametrize("names", [("train", "test"), ("training", "val", "test"), ("train", "dev")])
def test_folders_of_splits_are_taken_as_they_are(tmp_path, names):
    for number, name in enumerate(names):
        written(tmp_path / name, [(f"{text} {name}", label) for text, label in many(30 - 6 * number, ("a", "b"))])
    dataset = load(tmp_path)
    sizes = {split: len(examples) for split, examples in dataset.splits().items()}
    expected = {
        ("train", "test"): {"train": 27, "validation": 3, "test": 24},
        ("training", "val", "test"): {"train": 30, "validation": 24, "test": 18},
        ("train", "dev"): {"train": 24, "validation": 24, "test": 6},
    }
    assert sizes == expected[names]
    assert dataset.spec.names == ("a", "b")


def test_tables_that_are_called_as_splits_are_taken_as_they_are(tmp_path):
    for name in ("train.csv", "test.jsonl"):
        written(tmp_path / name, many(30))
    assert [len(split) for split in load(tmp_path).splits().values()] == [27, 3, 30]


def test_folders_that_may_mean_something_else_are_asked_about(tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text("x")
    with pytest.raises(DataError, match="train and val are called as splits are, but no sub-folder of a class"):
        load(tmp_path)
    for name in ("train/a", "val/a", "more/a"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError, match="beside train, val there is more, which is no split"):
        load(tmp_path)


# What is said


def test_a_plain_table_needs_five_lines(tmp_path):
    assert load(written(tmp_path / "a.csv", many(60))).understood == (
        "a.csv: texts in 'text', labels in 'label'",
        "3 classes: 'a' 20, 'b' 20, 'c' 20",
        "splits: train 43, validation 5, test 12; validation and test cut from train by class, the same way each time",
        "lengths: median 3 words, longest 3",
    )


def test_columns_are_found_by_content_where_their_names_say_nothing(tmp_path):
    """As Kaggle's table of spam: v1, v2 and three columns without names."""
    rows = [(label, f"{text} and a long message of its own", "", "") for text, label in many(60)]
    path = written(tmp_path / "spam.csv", rows, ("v1", "v2", "", ""))
    dataset = load(path)
    assert dataset.understood[0] == "spam.csv: texts in 'v2', labels in 'v1' (found by what is in them)"
    assert dataset.preprocess.reading.text_column == "v2"
    two = written(tmp_path / "two.csv", [(*row[:2], row[1]) for row in rows], ("v1", "v2", "v3"))
    with pytest.raises(DataError, match=r"no column is called text or .* name one by --data\.text-column"):
        load(two)


LONG = "a long text of its own that nobody would call a column by"


@pytest.mark.parametrize("options", [{}, {"header": "no"}])
def test_a_table_without_names_is_read_and_predicted_alike(tmp_path, options):
    rows = [(f"{LONG} {text}, {LONG}", label) for text, label in many(60)]
    path = written(tmp_path / "a.csv", rows[1:], rows[0])
    dataset = load(path, **options)
    assert sum(map(len, dataset.splits().values())) == 60
    save(dataset.preprocess, tmp_path / "preprocess.json")
    again = load_preprocess(tmp_path / "preprocess.json")
    assert [function() for _, function in again.read([str(path)], [], None)] == [text for text, _ in rows]
    assert len(again.labelled(path)) == 60


def test_how_long_documents_are_and_which_part_is_read(tmp_path):
    rows = [*many(57), *[(f"first{i} {'word ' * 500}last{i}", label) for i, label in enumerate("abc")]]
    path = written(tmp_path / "a.csv", rows)
    line = "lengths: median 3 words, longest 502; of 3 of 60 only the {} are read (--data.max-length, --data.keep)"
    assert line.format("first 100 and the last 300") in load(path).understood
    for keep, part in (("head", "first 20"), ("tail", "last 20")):
        dataset = load(path, max_length=20, keep=keep)
        assert line.format(part) in dataset.understood
        assert dataset.preprocess.max_length == 20
        assert dataset.train["inputs"].shape[1] == 20
        save(dataset.preprocess, tmp_path / "preprocess.json")
        again = load_preprocess(tmp_path / "preprocess.json")
        assert again == dataset.preprocess and again.reading == dataset.preprocess.reading
        np.testing.assert_array_equal(
            again.encode(dataset.documents()["train"])["inputs"], dataset.train["inputs"], err_msg=keep
        )
    with pytest.raises(UsageError, match=r"--data\.max-length must be the last of"):
        load(path, max_length=20, bucket_lengths=(10, 30))


def test_each_part_of_a_document_is_the_one_that_is_named():
    vocabulary = Vocabulary(("<pad>", "<unk>", *"abcdefghij"))
    for keep, kept in (("both", "afghij"), ("head", "abcdef"), ("tail", "efghij")):
        ids, lengths = vocabulary.encode(["abcdefghij", "abc", ""], 6, keep)
        assert ["".join(vocabulary.words[i] for i in row[:n]) for row, n in zip(ids, lengths, strict=True)] == [
            kept,
            "abc",
            "",
        ]
        assert vocabulary.encode_counted(["abcdefghij", "abc", ""], 6, keep)[1].tolist() == [10, 3, 0]


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        (["这部电影很好看", "非常喜欢,太精彩了"], True),
        (["我 喜欢 这部 电影", "很 好看 的 电影"], False),
        (["ภาพยนตร์เรื่องนี้ดีมาก", "ฉันไม่ชอบภาพยนตร์เรื่องนี้เลย"], True),
        (["この映画はとても良かった", "a plain text", "もう見たくない映画だ"], True),
        (["a plain text", "another", "这部电影很好看"], False),
        (["", " "], False),
    ],
)
def test_scripts_without_spaces_are_told(documents, expected):
    assert text_facts.spaceless(documents) is expected


def test_texts_without_spaces_are_read_as_characters_unless_a_tokenizer_is_named(tmp_path):
    rows = [(f"这部电影很{word}{i}", label) for i in range(30) for word, label in (("好看", "好"), ("难看", "坏"))]
    path = written(tmp_path / "a.csv", rows)
    dataset = load(path)
    assert dataset.preprocess.tokenizer == "characters"
    assert "most texts have no spaces between words and are read as characters" in said(dataset)
    assert load(path, tokenizer="words").preprocess.tokenizer == "words"
    assert load(path, spaceless_characters=False).preprocess.tokenizer == "plain-words"


def test_labels_that_look_wrong_are_told(tmp_path):
    rows = [(f"word{i} {label}", label) for i in range(4) for label in ("HAM", "ham", "spam", "1", "1.0", "nan", "?")]
    rows += [("the same", "ham"), ("the  same", "spam")]
    notes = said(load(written(tmp_path / "a.csv", rows)))
    assert "'ham' 5 and 'HAM' 4; '1' 4 and '1.0' 4" in notes
    assert f"4 labels 'nan', first {tmp_path / 'a.csv'}:7: a class of that name is learned" in notes
    assert "4 labels '?'" in notes
    path = tmp_path / "a.csv"
    assert f"1 text has several labels, such as {path}:30 'ham' and {path}:31 'spam'" in notes


def test_numbers_of_too_many_digits_are_not_said_to_be_one(tmp_path):
    rows = [(text, str(2**60 + number % 2)) for number, (text, _) in enumerate(many(30))]
    assert "number format" not in said(load(written(tmp_path / "a.csv", rows)))


def test_rows_whose_group_is_not_a_number_are_of_no_group(tmp_path):
    rows = [{"text": text, "label": label, "author": float("nan")} for text, label in many(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert "30 groups by 'author'" in said(load(tmp_path / "a.jsonl", group_column="author"))


def test_numbers_to_regress_and_constant_texts_are_told(tmp_path):
    numbers = [(f"text {i}", f"{i / 97:.3f}") for i in range(100)]
    with pytest.raises(DataError, match="the labels look like numbers to predict, not classes: 100 different ones"):
        load(written(tmp_path / "a.csv", numbers))
    often = [(f"text {i}", f"{i % 25 / 97:.3f}") for i in range(100)]
    assert "the labels look like numbers to predict" in said(load(written(tmp_path / "a.csv", often)))
    with pytest.raises(DataError, match=r"every text is the same, 'x' in 'text'; name another column"):
        load(written(tmp_path / "a.csv", [("x", "a"), ("x", "b")] * 9))


# Commands


@pytest.mark.parametrize(("devices", "batch"), [(1, 10), (4, 8), (3, 9), (16, 16), (50, 100)])
def test_a_batch_shrinks_to_what_few_documents_fill(tmp_path, devices, batch):
    section = TextTable(path=str(written(tmp_path / "a.csv", many(60))), batch_size=100)
    experiment = dataclasses.replace(TEXTS, data=section)
    changed, dataset = small.fitted(experiment, data.load(section), devices)
    assert changed.data.batch_size == batch
    assert (f"batches of {batch}, not 100: there are 43 training examples" in dataset.understood) is (batch < 100)
    enough = dataclasses.replace(TEXTS, data=dataclasses.replace(section, batch_size=43))
    assert small.fitted(enough, dataset, devices) == (enough, dataset), "what works is left as it is"


@pytest.mark.parametrize(
    ("devices", "batch", "accumulate", "used", "then"),
    [(8, 100, 1, 5, 5), (8, 4, 1, 4, 4), (8, 100, 2, 2, 4), (3, 100, 1, 3, 3), (8, 3, 2, 1, 3), (5, 100, 1, 5, 5)],
)
def test_fewer_documents_than_devices_leave_some_of_these_idle(tmp_path, devices, batch, accumulate, used, then):
    section = TextTable(path=str(written(tmp_path / "a.csv", many(60))), batch_size=batch)
    train = dataclasses.replace(TEXTS.train, accumulate=accumulate)
    experiment, dataset = dataclasses.replace(TEXTS, data=section, train=train), data.load(section)
    dataset = dataclasses.replace(dataset, train=dataset.train.take(np.arange(5)))
    changed, parallel = small.spread(experiment, dataset, DataParallel(jax.devices()[:devices]))
    assert parallel.device_count == used
    line = f"{used} of {devices} devices: there are 5 training examples"
    assert (line in changed.understood) is (used < devices)
    assert small.fitted(experiment, changed, used)[0].data.batch_size == then


@pytest.mark.slow
@pytest.mark.long
def test_small_data_work_at_the_defaults_and_say_what_was_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "tiny.csv", many(20, ("a", "b")))
    options = SMALL[:-2]  # all but the batch
    assert main(["text", "tiny.csv", *options]) == 0
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("batches of "))
    assert line.endswith(", not 32: there are 14 training examples")
    root = Path("runs/text_table/seed-0")
    assert line in (root / "data.txt").read_text()
    assert main(["text", "tiny.csv", *options]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert main(["text", "evaluate"]) == 0
    capsys.readouterr()
    written(tmp_path / "new.csv", [(text,) for text, _ in many(3)], ("text",))
    assert main(["text", "predict", "new.csv", "--json-lines"]) == 0
    inputs = [json.loads(line)["input"] for line in capsys.readouterr().out.splitlines()]
    assert inputs == ["new.csv:2", "new.csv:3", "new.csv:4"]
    (tmp_path / "two.txt").write_text("shared\nword")
    for lines, count in ((["--lines"], 2), ([], 1)):
        assert main(["text", "predict", "two.txt", *lines]) == 0
        assert len(capsys.readouterr().out.splitlines()) == count


def test_a_new_labelled_file_is_read_as_examples(tmp_path):
    dataset = load(written(tmp_path / "a.csv", many(30)))
    new = written(tmp_path / "new.jsonl", many(6))
    examples = dataset.preprocess.labelled(new)
    assert examples["labels"].tolist() == [2, 0, 1] * 2
    np.testing.assert_array_equal(examples.lengths, [3] * 6)
    written(new, [("x", "d")])
    with pytest.raises(DataError, match=r"new\.jsonl:1: the label 'd' is none of the classes that the model knows"):
        dataset.preprocess.labelled(new)


@pytest.mark.slow
@pytest.mark.long
def test_a_thousand_reviews_as_parquet_are_trained_on_evaluated_and_predicted(tmp_path, monkeypatch, capsys):
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set: no IMDB here")
    pyarrow, tfds = pytest.importorskip("pyarrow"), pytest.importorskip("tensorflow_datasets")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    source = tfds.data_source("imdb_reviews", split="train")
    rows = [source[i] for i in range(0, len(source), len(source) // 1200)][:1200]
    reviews = [{"review": row["text"].decode(), "sentiment": ("neg", "pos")[row["label"]]} for row in rows]
    for name, part in (("train.parquet", reviews[:1000]), ("new.parquet", reviews[1000:])):
        parquet.write_table(pyarrow.Table.from_pylist(part), name)
    assert main(["text", "train.parquet", "--train.epochs", "4"]) == 0
    shown = capsys.readouterr().out
    assert "train.parquet: texts in 'review', labels in 'sentiment'" in shown
    assert "2 classes: " in shown and "are read (--data.max-length, --data.keep)" in shown
    assert json.loads(Path("runs/text_table/seed-0/result.json").read_text())["metrics"]["test"]["accuracy"] > 0.6
    assert main(["text", "predict", "new.parquet", "--json-lines"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["input"] for answer in answers] == [f"new.parquet, row {i}" for i in range(1, len(reviews) - 999)]
    right = [answer["label"] == row["sentiment"] for answer, row in zip(answers, reviews[1000:], strict=True)]
    assert np.mean(right) > 0.6
    assert main(["text", "evaluate", "new.parquet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["examples"], said["accuracy"]) == (len(right), pytest.approx(np.mean(right)))


ODD_LABELS = st.sampled_from(["a", "b", "nan", "A", " a", "1", "1.0", "é", "\u200b", "?"])
ODD_TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "same", "这部电影很好看", "a b c", "\ud800", "x" * 300])
)


@settings(max_examples=60, deadline=None, database=None)
@given(
    texts=st.lists(ODD_TEXTS, min_size=1, max_size=8),
    labels=st.lists(ODD_LABELS, min_size=2, max_size=4),
    rows=st.integers(8, 40),
    alike=st.integers(1, 4),
    options=st.fixed_dictionaries(
        {},
        optional={
            "keep": st.sampled_from(["head", "tail"]),
            "max_length": st.integers(1, 5),
            "tokenizer": st.sampled_from(["characters", "bytes", "words"]),
            "test_fraction": st.floats(0.05, 0.95),
        },
    ),
)
def test_of_odd_documents_nothing_comes_out_but_a_data_set_or_our_error(
    tmp_path_factory, texts, labels, rows, alike, options
):
    base = tmp_path_factory.getbasetemp()
    made = [(f"{texts[i % len(texts)]} {i // alike}", labels[i % len(labels)]) for i in range(rows)]
    path = written(base / "odd.jsonl", made)
    try:
        dataset = load(path, cache_dir=str(base / "cache"), **options)
    except DataError as error:
        assert str(path) in str(error) or "odd.jsonl" in str(error)
        return
    found = [set(map(key, documents)) - {None} for documents in dataset.documents().values()]
    assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2], "copies in two splits"
    assert sum(map(len, dataset.splits().values())) == rows

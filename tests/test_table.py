"""A user's own documents: every kind of file, and everything that can be wrong with one."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from rnnjax import data
from rnnjax.config import TextTable
from rnnjax.data import text_lines
from rnnjax.data.document_files import read
from rnnjax.data.text_columns import Reading
from rnnjax.data.tokenized import bucket_lengths
from rnnjax.errors import DataError, UsageError

ROWS = [
    ('Good, really\ngood "film"', "pos"),
    ("bad\r\nfilm", "neg"),
    ("סרט טוב מאוד\u200f", "pos"),
    ("tab\there", "neg"),
    ("'=1+1()'", "neg"),
]


def written(path: Path, rows=ROWS, header=("text", "label")) -> Path:
    """A table of this kind, as spreadsheets and pandas write it."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == "":
        for number, (text, label) in enumerate(rows):
            (path / label).mkdir(parents=True, exist_ok=True)
            (path / label / f"{number}.txt").write_bytes(text.encode("utf-8"))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "folder"])
def test_every_kind_gives_the_same_documents(tmp_path, name):
    table = read(written(tmp_path / name))
    assert sorted(zip(table.documents, table.labels, strict=True)) == sorted(ROWS)
    assert table.notes == []


def test_a_byte_order_mark_other_columns_and_blank_lines(tmp_path):
    path = tmp_path / "a.CSV"
    path.write_bytes(b"\xef\xbb\xbfid,Review , Sentiment\r\n\r\n1,fine, pos \r\n2,poor,neg")
    table = read(path)
    assert (table.documents, table.labels) == (["fine", "poor"], ["pos", "neg"])
    assert table.places == [f"{path}:3", f"{path}:4"]
    with pytest.raises(DataError, match=r"no column 'reviw'; the columns are 'id', .*did you mean 'Review'\?"):
        read(path, Reading(text_column="reviw"))
    assert read(path, Reading("id", "Review")).documents == ["1", "2"]


def test_labels_of_json_may_be_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "a", "label": 1}\n\n{"label": "1", "text": "b", "more": null}\n{"text": "", "label": true}'
    )
    table = read(path)
    assert table.labels == ["1", "1", "true"]
    assert table.notes == [f"1 document without text, first {path}:4; kept, with length 0"]


def test_a_document_of_ten_megabytes(tmp_path):
    path = written(tmp_path / "a.csv", [("word " * 2_000_000, "pos"), ("x", "neg")])
    limit = csv.field_size_limit()
    assert len(read(path).documents[0]) == 10_000_000
    assert csv.field_size_limit() == limit


BAD = {
    "not UTF-8": ("a.csv", b"text,label\nfine,pos\nsch\xf6n,pos\n", r"a\.csv:3: not UTF-8: byte 4 of the line is 0xf6"),
    "UTF-16": ("a.csv", "text,label\n".encode("utf-16-le"), "it looks like utf-16-le: give --data.encoding"),
    "NUL": ("a.csv", b"text,label\nfi\0ne,pos\n", r"a\.csv:2: a NUL byte \(byte 3 of the line\)"),
    "empty file": ("a.csv", b"", r"a\.csv:1: the first line must name the columns"),
    "header alone": ("a.csv", b"text,label\n", "there is no row in it"),
    "no header": ("a.csv", b"fine,pos\nbad,neg\n", "no column is called text or review .*'fine', 'pos'"),
    "no label column": ("a.csv", b"text,stars\nfine,5\n", "--data.label-column"),
    "column twice": (
        "a.csv",
        b"text,label,text\na,b,c\n",
        "no column is called text or .*'text .column 1.', 'label', 'text .column 3.'",
    ),
    "short row": ("a.csv", b'text,label\n"two\nlines",pos\nfine\n', r"a\.csv:4: 1 field where the first line names 2"),
    "long row": ("a.csv", b"text,label\nfine, really,pos\n", r"a\.csv:2: 3 fields where the first line names 2"),
    "open quote": ("a.csv", b'text,label\na,b\n"never closed,pos\nc,d\n', r"a\.csv:3: the record that begins here"),
    "stray quote": ("a.tsv", b'text\tlabel\n"so" he said\tpos\n', r"a\.tsv:2: the record .* is written twice"),
    "mixed line ends": (
        "a.csv",
        b"text,label\nfine,pos\rbad,neg\n",
        r"a\.csv:2: the record .* carriage return outside",
    ),
    "empty label": ("a.csv", b"text,label\nfine,pos\nbad, \n", r"a\.csv:3: the label is empty"),
    "a label of two lines": ("a.csv", b'text,label\nfine,"po\ns"\n', "holds a control character or a line break"),
    "no JSON": ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": ', r"a\.jsonl:2: not a line of JSON"),
    "deep JSON": ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: not a"),
    "no object": ("a.jsonl", b'["a", 1]\n', r"a\.jsonl:1: not a JSON object"),
    "missing key": (
        "a.jsonl",
        b'{"text": "a", "label": 1}\n{"text": "b"}\n',
        r"a\.jsonl:2: the label is empty: nothing stands in 'label'",
    ),
    "text that is none": ("a.jsonl", b'{"text": 5, "label": 1}\n', r"a\.jsonl:1: 'text' must be a string, got 5"),
    "label that is none": (
        "a.jsonl",
        b'{"text": "a", "label": null}\n',
        "the label is empty: nothing stands in 'label'",
    ),
    "another kind": ("a.xlsx", b"PK", r"not a kind of file known here \(\.csv, "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_named(tmp_path, name):
    file, content, message = BAD[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path / file)
    assert str(tmp_path / file) in str(error.value)


def test_lines_that_end_with_carriage_returns_are_lines(tmp_path):
    """As Excel for Mac saves "CSV (Macintosh)"."""
    for path in (tmp_path / "a.csv", tmp_path / "a.tsv", tmp_path / "a.jsonl"):
        whole = written(path).read_bytes()
        plain = [row for row in ROWS if "\n" not in row[0]]
        whole = written(path, plain).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r")
        path.write_bytes(whole)
        table = read(path)
        assert list(zip(table.documents, table.labels, strict=True)) == plain
        assert table.places == [f"{path}:{line + (path.suffix != '.jsonl')}" for line in range(1, 4)]
    document = tmp_path / "folder" / "a" / "1.txt"
    for folder in "ab":
        (tmp_path / "folder" / folder).mkdir(parents=True)
        (tmp_path / "folder" / folder / "1.txt").write_bytes(b"one\rtwo")
    assert document in map(Path, read(tmp_path / "folder").places)
    assert read(tmp_path / "folder").documents == ["one\rtwo"] * 2


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_only_regular_files_are_opened(tmp_path, name):
    """Reading a pipe would wait for a writer, and a device may never end."""
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(DataError, match=rf"{name}: not a regular file"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=rf"{name}: not a regular file"):
        read(path)
    path.unlink()
    path.symlink_to(written(tmp_path / f"linked{path.suffix}"))
    assert len(read(path).documents) == len(ROWS)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_without_end_is_refused_before_memory_is_taken(tmp_path, name, monkeypatch):
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 2**20)
    path = written(tmp_path / name, [("x" * 2**20, "a")])
    with pytest.raises(DataError, match=r":[12]: more than 1 MiB, the most that is read at once; divide it"):
        read(path)
    with path.open("ab") as file:
        file.truncate(2**40)  # a hole: a terabyte of zeros that takes no room
    with pytest.raises(DataError, match="more than 1 MiB"):
        read(path)


def test_a_column_cannot_be_both(tmp_path):
    with pytest.raises(DataError, match="'text' cannot hold both the documents and the labels"):
        read(written(tmp_path / "a.csv"), Reading(label_column="text"))


def test_folders(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no sub-folder in it"):
        read(tmp_path)
    folder = written(tmp_path / "folder")
    (folder / "README").write_text("about")
    (folder / "pos" / "notes.md").write_text("about")
    (folder / ".git").mkdir()
    (folder / "__MACOSX").mkdir()
    os.symlink(folder, folder / "pos" / "loop")
    assert read(folder).notes == [f"3 entries in {folder} left aside: no .txt file in a class's folder"]
    (folder / "pos" / "latin.txt").write_bytes(b"first\nsch\xf6n")
    with pytest.raises(DataError, match=r"pos/latin\.txt:2: not UTF-8"):
        read(folder)
    (folder / "none").mkdir()
    with pytest.raises(DataError, match=r"folder/none: no \.txt file in this class's folder"):
        read(folder)


# Data sets


def many(count=30, labels=("c", "a", "b")):
    return [(f"shared word{i} {labels[i % len(labels)]}", labels[i % len(labels)]) for i in range(count)]


def load(path, **options):
    return data.load(TextTable(path=str(path), **options))


def test_one_table_is_cut_in_three_the_same_way_each_time(tmp_path):
    path = written(tmp_path / "a.csv", many(60))
    dataset = load(path)
    assert dataset.name == "a.csv"
    assert dataset.spec.names == ("a", "b", "c")
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [43, 5, 12]
    np.testing.assert_array_equal(np.bincount(dataset.test["labels"]), [4, 4, 4])
    again = load(path)
    np.testing.assert_array_equal(again.test["inputs"], dataset.test["inputs"])
    assert again.preprocess == dataset.preprocess
    assert len(dataset.sample_texts) == 5


def test_a_table_of_your_own_is_read_as_plain_words(tmp_path):
    path = written(tmp_path / "a.csv", [(f"<b>co\u00adoperate</b> {text}", label) for text, label in many(30)])
    assert "cooperate" in load(path).preprocess.vocabulary.words
    assert "operate" in load(path, tokenizer="words").preprocess.vocabulary.words


def test_a_changed_file_is_read_anew(tmp_path):
    """Its size and name may be as they were."""
    path = written(tmp_path / "a.csv", many(30))
    before = load(path).preprocess
    written(path, [(text.replace("shared", "SHAPED"), label) for text, label in many(30)])
    assert "shaped" in load(path).preprocess.vocabulary.words
    assert "shaped" not in before.vocabulary.words


def test_copies_of_a_text_are_in_one_split(tmp_path):
    """Six texts ten times each: whatever is cut off by chance is trained on too."""
    rows = [(f"text{'  ' * (i % 4)} number{i % 6}", "ab"[i % 2]) for i in range(60)]
    path = written(tmp_path / "a.csv", rows)
    dataset = load(path)
    assert dataset.notes == ("20 of 20 training documents occur more than once, token for token",)
    assert "6 texts occur more than once, in 60 rows, and the copies of one are in one split" in dataset.understood
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [20, 20, 20]
    test = written(tmp_path / "test.csv", rows[:12])
    assert load(path, test_path=str(test)).notes[0].startswith("8 of 12 test documents are also training documents;")


def test_documents_of_unknown_words_are_no_repetitions(tmp_path):
    path = written(tmp_path / "a.csv", many(30))
    test = written(tmp_path / "test.csv", [("zzz", "a"), ("yyy", "b"), ("yyy", "c"), ("shared a", "c")])
    assert load(path, test_path=str(test)).notes == ("3 of 4 test documents hold no token of the vocabulary",)


def test_a_table_to_test_on(tmp_path):
    path = written(tmp_path / "a.csv", many(30))
    test = written(tmp_path / "test.jsonl", [("shared a", "a"), ("zzz", "b"), (" ", "c")])
    dataset = load(path, test_path=str(test))
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [27, 3, 3]
    np.testing.assert_array_equal(dataset.test["labels"], [0, 1, 2])
    np.testing.assert_array_equal(dataset.test.lengths, [2, 1, 0])
    assert dataset.notes == (
        f"1 document without text, first {test}:3; kept, with length 0",
        "1 of 3 test documents hold no token of the vocabulary",
    )
    written(test, [("x", "a"), ("y", "bb")])
    message = f"{test}:2: the label 'bb' does not occur in {path}, which is trained on; did you mean 'b'?"
    with pytest.raises(DataError, match=re.escape(message)):
        load(path, test_path=str(test))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", "pos")] * 9, "one class only, 'pos'; a classifier needs two"),
        ([*many(20, ("a", "b")), ("x", "rare")], r"a\.csv:22: the class 'rare' has 1 of 21 documents, and training,"),
        ([*many(20, ("a", "b")), *[("x", "rare")] * 2], "the class 'rare' has 2 of 22 documents"),
        ([("", "a"), ("-", "b")] * 10, r"a\.csv: no training document holds a word"),
    ],
)
def test_too_little_to_learn_from(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        load(written(tmp_path / "a.csv", rows))


@pytest.mark.parametrize("labels", ["ab", "abc", "abcdefgh"])
def test_three_documents_a_class_are_enough(tmp_path, labels):
    dataset = load(written(tmp_path / "a.csv", many(3 * len(labels), tuple(labels))))
    for split in (dataset.train, dataset.validation, dataset.test):
        np.testing.assert_array_equal(np.bincount(split["labels"]), np.ones(len(labels)))


def test_no_path_is_a_question():
    with pytest.raises(UsageError, match=r"--data\.path FILE\.csv"):
        data.load(TextTable())


def test_buckets_follow_the_lengths():
    assert bucket_lengths(np.full(50, 7), 7) == (7,)
    assert bucket_lengths(np.arange(1, 101), 100) == (56, 100)
    assert bucket_lengths(np.repeat([5, 100, 390], [60, 30, 10]), 400) == (8, 104, 400)
    assert bucket_lengths(np.zeros(5, int), 0) == (1,)


def test_buckets_are_chosen_unless_given(tmp_path):
    path = written(tmp_path / "a.csv", [*many(57), *[("long " * 900, label) for label in "abc"]])
    chosen = load(path)
    assert chosen.plan.buckets == (8, 400)
    assert chosen.train["inputs"].shape[1] == 400
    assert chosen.preprocess.max_length == 400
    assert load(path, tokenizer="bytes").plan.buckets[-1] == 1600
    given = load(path, bucket_lengths=(10, 20))
    assert given.plan.buckets == (10, 20)
    assert given.preprocess.max_length == 20

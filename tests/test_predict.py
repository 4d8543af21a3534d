"""What prediction reads, and what it refuses to read."""

import io
import os
import types
import zipfile

import numpy as np
import pytest

from rnnjax.data import ImagePreprocess, TextPreprocess, text_lines
from rnnjax.data.text_columns import Reading
from rnnjax.data.text_inputs import text_inputs
from rnnjax.data.text_lines import lines
from rnnjax.data.tokens import TOKENIZERS, Vocabulary
from rnnjax.errors import DataError
from rnnjax.runs.answering import predict
from rnnjax.runs.predict import Predictor
from rnnjax.tasks import Classification

TEXT = TextPreprocess(Vocabulary(("<pad>", "<unk>", "a", "b", "c", ".")), 4, ("no", "yes"))
IMAGE = ImagePreprocess((2, 3, 1), (0.25,), (0.5,), ("no", "yes"))


def answers(inputs):
    """Names with what was read, or with the error."""
    found = []
    for name, function in inputs:
        try:
            found.append((name, function()))
        except DataError as error:
            found.append((name, error))
    return found


def stdin(content):
    return types.SimpleNamespace(buffer=io.BytesIO(content))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_ends_a_document(tmp_path, end):
    content = f"a b{end}{end}c{end}".encode()
    (tmp_path / "t.txt").write_bytes(content)
    expected = [("a b", "a b"), ("c", "c")]
    for path, name in ((str(tmp_path / "t.txt"), str(tmp_path / "t.txt")), ("-", "standard input")):
        found = list(text_inputs([], [path], stdin(content), by_line=True))
        assert [read.place for _, read in found] == [f"{name}:{line}" for line in (1, 2, 3)]
        first, (blank, error), last = answers(found)
        assert [first, last] == expected
        assert (blank, str(error)) == (f"{name}:2", f"{name}:2: a blank line")


def test_a_carriage_return_within_a_line_of_a_file_with_line_feeds_ends_no_line(tmp_path):
    content = b"a b\rc\r\nd\r\r\n"
    (tmp_path / "t.txt").write_bytes(content)
    trained = [text.rstrip("\r\n") for text in lines(tmp_path / "t.txt")]
    for path in (str(tmp_path / "t.txt"), "-"):
        assert [text for _, text in answers(text_inputs([], [path], stdin(content), by_line=True))] == trained


def test_a_text_file_is_one_document_as_in_training(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa b\r\n\r\nc\n")
    assert answers(text_inputs([], [str(path)], None)) == [(str(path), "a b\r\n\r\nc\n")]
    path.write_bytes("schön".encode("cp1252"))
    ((_, error),) = answers(text_inputs([], [str(path)], None))
    assert "it looks like cp1252" in str(error)
    as_trained = Reading(encoding="cp1252")
    assert answers(text_inputs([], [str(path)], None, as_trained)) == [(str(path), "schön")]
    path.write_text("schön", encoding="utf-8")
    assert answers(text_inputs([], [str(path)], None, as_trained)) == [(str(path), "schön")]


def test_a_table_has_a_document_a_row_whether_it_has_labels_or_not(tmp_path):
    path, how = tmp_path / "t.csv", Reading(text_column="said", label_column="label", delimiter=None)
    path.write_text('id;said\n1;"a, b\nc"\n2;\n')
    assert answers(text_inputs([], [str(path)], None, how)) == [(f"{path}:2", "a, b\nc"), (f"{path}:4", "")]
    assert answers(text_inputs([], [str(path)], None, how, by_line=True))[0][1] == "a, b\nc"
    ((name, error),) = answers(text_inputs([], [str(path)], None, Reading(text_column="text")))
    assert name == str(path)
    assert "no column 'text', which the model was trained on; the columns are 'id', 'said'" in str(error)
    lines = tmp_path / "t.jsonl"
    lines.write_text('{"text": "a"}\n{"text": 5}\n')
    (_, first), (_, error) = answers(text_inputs([], [str(lines)], None))
    assert (first, str(error)) == ("a", f"{lines}:2: 'text' must be a string, got 5")


def test_folders_and_zips_of_documents_are_answered_file_by_file(tmp_path):
    folder = tmp_path / "docs"
    for name, content in {
        "b/2.txt": "two",
        "a.txt": "one",
        "a.md": "x",
        ".DS_Store": "",
        "t.csv": "text\nrow\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    found = answers(text_inputs([], [str(folder)], None))
    assert [name for name, _ in found] == [str(folder / name) for name in ("a.md", "a.txt", "t.csv:2", "b/2.txt")]
    assert [text for _, text in found[1:]] == ["one", "row", "two"]
    assert "neither a .txt file nor a table" in str(found[0][1])
    with zipfile.ZipFile(tmp_path / "docs.zip", "w") as archive:
        for name in ("docs/1.txt", "__MACOSX/docs/._1.txt", "docs/page.html"):
            archive.writestr(name, "one\ntwo")
    path = str(tmp_path / "docs.zip")
    (name, text), (_, error) = answers(text_inputs([], [path], None))
    assert (name, text) == (f"{path}/docs/1.txt", "one\ntwo")
    assert "no .txt file; unpack the zip" in str(error)
    (tmp_path / "none.zip").write_bytes(b"PK")
    ((_, error),) = answers(text_inputs([], [str(tmp_path / "none.zip")], None))
    assert "not a zip that can be read" in str(error)


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_only_regular_files_are_opened(tmp_path, kind, what):
    """Reading a pipe would wait for a writer, and a device may never end."""
    path = tmp_path / ("a.txt" if kind == "text" else "a.png")
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    paths = [str(path), str(tmp_path)]
    inputs = text_inputs([], paths, None) if kind == "text" else IMAGE.read(paths, [], None)
    errors = [error for _, error in answers(inputs)]
    assert all("not a regular file" in str(error) for error in errors)
    assert len(errors) == 2
    if kind == "text":
        assert str(errors[0]) == f"{path}: not a regular file; give - to read standard input"


def test_a_large_text_file_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2**40)  # a hole: a terabyte of zeros that takes no room
    ((_, error),) = answers(text_inputs([], [str(tmp_path / "huge.txt")], None))
    assert str(error) == f"{tmp_path / 'huge.txt'}: more than 1,024 MiB, the most that is read at once; divide it"
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 5)
    assert answers(text_inputs([], ["-"], stdin(b"a b c"))) == [("a b c", "a b c")]
    ((_, error),) = answers(text_inputs([], ["-"], stdin(b"a b c\n")))
    assert "standard input: more than " in str(error)


def test_hidden_files_of_a_folder_are_left_out(tmp_path):
    for name in ("b.png", "._b.png", ".DS_Store", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [name for name, _ in IMAGE.read([str(tmp_path)], [], None)] == [
        str(tmp_path / n) for n in ("a.JPG", "b.png")
    ]


def seen(preprocess, raw):
    """What a model is given, 64 rows, and the answers for the real ones."""
    given = []

    def apply(variables, stored):
        given.append(stored)
        return np.tile(np.float32([[0.0, 1.0]]), (64, 1))

    predictor = Predictor(None, {}, preprocess, Classification(), preprocess.spec)
    object.__setattr__(predictor, "_apply", apply)
    answers = [answer.row for answer in predict(predictor, [("", lambda one=one: one) for one in raw])]
    assert answers == [{"label": "yes", "probability": pytest.approx(np.e / (1 + np.e))}] * len(raw)
    return given[0]


def test_a_document_is_encoded_once_and_its_batch_is_what_copies_of_it_give(monkeypatch):
    documents, calls = ["b a c b a c.", "", "c"], []
    expected = TEXT.encode(documents + [documents[0]] * 61)

    def count(document):
        calls.append(document)
        return each(document)

    each = TOKENIZERS["words"]
    monkeypatch.setitem(TOKENIZERS, "words", count)
    found = seen(TEXT, documents)
    assert calls == documents
    for name in ("inputs", "lengths"):
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype


def test_images_are_padded_with_copies_of_the_first():
    images = list(np.random.default_rng(0).integers(0, 256, (3, 2, 3, 1), np.uint8))
    np.testing.assert_array_equal(
        seen(IMAGE, images)["inputs"], IMAGE.encode(np.stack(images + images[:1] * 61))["inputs"]
    )

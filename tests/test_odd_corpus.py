"""Texts that are hardly any, and documents that are few: said in one sentence, or read as they are."""

import dataclasses
from typing import Any

import pytest

from experiments.benchmarks.prepared_tfds import write_texts
from experiments.shakespeare_chars import EXPERIMENT as SHAKESPEARE
from rnnjax import data
from rnnjax.data.corpus import CorpusData, DocumentsCorpus
from rnnjax.errors import DataError
from rnnjax.experiment import otherwise_tested

NOTES = [(f"A cat saw {n}.", 0) for n in range(30)]


def corpus(folder, content, **options):
    (folder / "mine.txt").write_bytes(content)
    usual: Any = {"path": str(folder / "mine.txt"), "cache_dir": str(folder / "cache"), "batch_size": 2}
    return data.load(CorpusData(**usual | options))


def documents(folder, train, test, **options):
    write_texts(folder / "tfds", "notes", 2, {"train": train, "test": test})
    places = {"data_dir": str(folder / "tfds"), "cache_dir": str(folder / "cache")}
    usual: Any = {"name": "notes", "train_splits": ("train",), "window": 4, "validation_fraction": 0.1, "batch_size": 2}
    return data.load(DocumentsCorpus(**places | usual | options))


@pytest.mark.parametrize("tokenizer", ["characters", "words", "bytes"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"",
            "mine.txt: train has 0 tokens, and a window of 128 needs 129; give a longer text or a smaller --data.win",
        ),
        (b"a", "mine.txt: train has 1 tokens, and a window of 128 needs 129"),
        (b"a b c d " * 30, "needs 129; give a longer text or a smaller --data.window"),
    ],
)
def test_a_text_that_is_shorter_than_a_window_is_refused_with_its_size(content, message, tokenizer, tmp_path):
    with pytest.raises(DataError, match=message):
        corpus(tmp_path, content, tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fünf ".encode("cp1252") * 400, r"mine.txt: not a UTF-8 text file \(.* save it as UTF-8"),
        (b"a\0b" * 400, r"mine.txt: not a UTF-8 text file \(it holds NUL bytes\)"),
    ],
)
def test_what_is_no_text_is_refused(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        corpus(tmp_path, content)


def test_a_folder_in_place_of_a_text_is_told_what_is_read(tmp_path):
    with pytest.raises(DataError, match="not a regular file; a language model reads one UTF-8 text file: put several"):
        data.load(CorpusData(path=str(tmp_path)))


def test_a_text_of_one_token_again_and_again_is_pointed_out(tmp_path):
    (note,) = corpus(tmp_path, b"aaaa" * 1000).notes
    assert note == "the training text is one token again and again: there is nothing to learn of it"
    assert not corpus(tmp_path, b"abab" * 1000).notes


def test_a_byte_order_mark_and_line_ends_of_other_systems_are_no_tokens(tmp_path):
    plain = corpus(tmp_path, b"Ab\nc " * 800)
    for content in (b"\xef\xbb\xbf" + b"Ab\r\nc " * 800, b"Ab\r\nc " * 800, b"Ab\rc " * 800):
        assert corpus(tmp_path, content).fingerprint == plain.fingerprint
        assert corpus(tmp_path, content).preprocess == plain.preprocess


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (NOTES[:1], NOTES, "has one document to train on; two are needed, one of them to validate"),
        (NOTES[:2], NOTES, "has 2 documents to train on, .* leaves none to validate; give a larger one"),
        (NOTES, [], "the split test of notes/1.0.0 cannot be read"),
        ([("", 0)] * 30, NOTES, "validation has 3 tokens, and a window of 4 needs 5"),
    ],
)
def test_documents_that_are_too_few_are_refused(train, test, message, tmp_path):
    with pytest.raises(DataError, match=message):
        documents(tmp_path, train, test)


def test_two_documents_and_one_to_test_on_are_enough(tmp_path):
    found = documents(tmp_path, NOTES[:2], NOTES[:1], validation_fraction=0.5)
    assert {split: int((examples["targets"] >= 0).sum()) for split, examples in found.splits().items()} == {
        "train": 5, "validation": 5, "test": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "which"),
    [
        ({"path": "mine.txt"}, "of data without --data.path"),
        ({"tokenizer": "words"}, "of --data.tokenizer characters"),
        ({"vocabulary_size": 50}, "of --data.vocabulary-size 20000"),
        ({"test_fraction": 0.2}, "of --data.test-fraction 0.1"),
        ({"window": 32}, None),
    ],
)
def test_a_target_in_nats_a_token_is_of_its_own_text_and_tokens(changes, which):
    chosen = SHAKESPEARE.with_parts(data=dataclasses.replace(SHAKESPEARE.data, **changes))
    assert otherwise_tested(SHAKESPEARE, dataclasses.replace(SHAKESPEARE, data=chosen.data)) == which
    assert (chosen.target is None) == (which is not None)

"""Documents one after the other: what is read, in which order, and what is held out, counted by hand."""

import json

import numpy as np
import pytest

from experiments.benchmarks.prepared_tfds import write_texts
from rnnjax import data
from rnnjax.data.corpus import DocumentsCorpus
from rnnjax.data.documents import TextData
from rnnjax.data.preprocess import Preprocess
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.errors import DataError, UsageError

ANIMALS = ("cat", "dog", "fox", "owl", "bee", "ant", "elk", "emu")


def texts(count, first=0):
    """Texts such as ``a cat saw 3 .``, of which each has a number of its own."""
    return [(f"A {ANIMALS[i % 8]} saw {first + i}.", i % 2) for i in range(count)]


@pytest.fixture
def prepared(tmp_path):
    write_texts(
        tmp_path / "tfds", "notes", 2, {"train": texts(20), "unsupervised": texts(30, 20), "test": texts(12, 50)}
    )
    return {"name": "notes", "data_dir": str(tmp_path / "tfds"), "cache_dir": str(tmp_path / "cache")}


def read(dataset, split):
    """The documents of a split, as texts, in their order."""
    examples = getattr(dataset, split)
    inputs, targets = examples.arrays["inputs"].ravel(), examples.arrays["targets"].ravel()
    real = targets >= 0
    assert (inputs[1:][real[:-1] & real[1:]] == targets[:-1][real[:-1] & real[1:]]).all(), "targets are one step on"
    ids = [inputs[0], *targets[real]]
    words = [dataset.preprocess.vocabulary.words[number] for number in ids]
    return " ".join(words).removesuffix(" </s>").split(" </s> ")


def config(prepared, **given):
    usual = {"batch_size": 4, "window": 4, "validation_fraction": 0.1, "test_documents": 0}
    return DocumentsCorpus(**usual | prepared | given)


def test_each_document_is_read_once_in_a_drawn_order_with_an_end_behind_it(prepared):
    dataset = data.load(config(prepared))
    parts = {split: read(dataset, split) for split in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [45, 5, 12]
    wanted = [text.lower().replace(".", " .") for text, _ in [*texts(20), *texts(30, 20)]]
    assert sorted(parts["train"] + parts["validation"]) == sorted(wanted)
    assert parts["train"] != [text for text in wanted if text in parts["train"]], "the order is drawn"
    # Numbers of the test split alone are unknown: the vocabulary is of what is trained on and validated.
    assert sorted(parts["test"]) == sorted(f"a {ANIMALS[i % 8]} saw <unk> ." for i in range(12))
    assert "train: 45 documents, 270 tokens" in dataset.understood
    assert parts == {split: read(data.load(config(prepared)), split) for split in parts}, "the same from the cache"


def test_backwards_each_document_is_read_from_its_end(prepared):
    ahead, back = data.load(config(prepared)), data.load(config(prepared, direction="backwards"))
    for split in ("train", "validation", "test"):
        assert read(back, split) == [" ".join(text.split()[::-1]) for text in read(ahead, split)]
    assert back.preprocess.vocabulary == ahead.preprocess.vocabulary
    kept = json.loads(json.dumps(back.preprocess.to_json()))
    assert WindowPreprocess.from_json(kept) == back.preprocess != ahead.preprocess
    assert "backwards" not in ahead.preprocess.to_json(), "what was written before there were directions is read"
    with pytest.raises(DataError, match="reads texts from their end"):
        back.preprocess.prompt("a cat")
    np.testing.assert_array_equal(back.preprocess.ids("a cat"), ahead.preprocess.ids("a cat")[::-1])


def test_as_many_documents_are_tested_on_as_were_asked_for_and_refitted_ones_are_all(prepared):
    dataset = data.load(config(prepared, test_documents=5, refit=True))
    assert len(read(dataset, "test")) == 5
    assert len(read(dataset, "train")) == 50
    assert any("validation tells nothing" in note for note in dataset.notes)


def test_a_classifier_of_the_same_documents_can_share_the_vocabulary(prepared):
    corpus = data.load(config(prepared))
    shared = TextData(batch_size=4, bucket_lengths=(8,), vocabulary_splits=("train", "unsupervised"), **prepared)
    dataset = data.load(shared)
    assert isinstance(dataset.preprocess, Preprocess)
    assert dataset.preprocess.vocabulary == corpus.preprocess.vocabulary
    own = data.load(TextData(batch_size=4, bucket_lengths=(8,), **prepared))
    assert len(own.preprocess.vocabulary) < len(corpus.preprocess.vocabulary)


def test_fewer_labelled_documents_are_drawn_by_class(prepared):
    few = data.load(TextData(batch_size=4, bucket_lengths=(8,), train_documents=6, **prepared))
    assert np.bincount(few.train["labels"]).tolist() == [3, 3]
    assert len(few.validation) == 2 and len(few.test) == 12, "the other splits are as they are"
    assert few.documents is not None
    texts = few.documents()["train"]
    assert few.preprocess.encode(texts)["inputs"].tolist() == np.asarray(few.train["inputs"])[:, :8].tolist()
    for count in range(2, 17):  # a share of the documents would be rounded
        some = data.load(TextData(batch_size=4, bucket_lengths=(8,), train_documents=count, **prepared))
        assert len(some.train) == count
    with pytest.raises(DataError, match=r"--data.train-documents 1 of 18 documents: .* has no room for 2 classes"):
        data.load(TextData(batch_size=4, bucket_lengths=(8,), train_documents=1, **prepared))
    with pytest.raises(DataError, match="18 is not fewer than the 18 documents"):
        data.load(TextData(batch_size=4, bucket_lengths=(8,), train_documents=18, **prepared))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"train_splits": ("train", "extra")}, DataError, "notes has no split 'extra'; it has test, train, unsuper"),
        ({"validation_fraction": 0.001}, DataError, "leaves none to validate"),
        ({"train_splits": ("test",)}, UsageError, "none of those that are trained on"),
        ({"train_splits": ()}, UsageError, "at least one TFDS split"),
        ({"direction": "sideways"}, UsageError, "direction"),
        ({"window": 1000}, DataError, "a window of 1000 needs 1001"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(given, error, message, prepared):
    with pytest.raises(error, match=message):
        data.load(config(prepared, **given))


@pytest.mark.parametrize("size", [3, 4, 6])
def test_a_small_vocabulary_has_the_end_of_a_document(size, prepared):
    dataset = data.load(config(prepared, vocabulary_size=size))
    assert "</s>" in dataset.preprocess.vocabulary.words
    assert len(dataset.preprocess.vocabulary) == size
    assert any("documents," in line for line in dataset.understood)

"""From documents to ids: where the vocabulary comes from, and what the cache is asked by."""

import typing

import numpy as np
import pytest

from rnnjax.config import TextData
from rnnjax.data import tokenized
from rnnjax.data.documents import Tokenizer
from rnnjax.data.tokens import TOKENIZERS

LABELS = np.array([0, 1] * 10, np.int32)


def documents(prefix: str) -> tokenized.Documents:
    """Documents of one word each, all different."""
    return [f"{prefix}{i}" for i in range(len(LABELS))], LABELS


def dataset(calls=None, **options):
    def read():
        if calls is not None:
            calls.append(options)
        return {"train": documents("train"), "test": documents("test")}

    config = TextData(**{"name": "made", "bucket_lengths": (8,), **options})
    return tokenized.dataset("made", config, ("a", "b"), source={"made": "up"}, read=read)


def test_the_vocabulary_is_of_the_kept_part_of_training_alone(tmp_path):
    made = dataset(cache_dir=str(tmp_path), validation_fraction=0.2)
    assert [len(split) for split in (made.train, made.validation, made.test)] == [16, 4, 20]
    assert len(made.preprocess.vocabulary) == 2 + 16
    np.testing.assert_array_equal(np.sort(made.train["inputs"][:, 0]), np.arange(2, 18))
    assert (made.validation["inputs"][:, 0] == 1).all(), "held out words are unknown"
    assert (made.test["inputs"][:, 0] == 1).all()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_ids_are_what_prediction_makes(tmp_path, tokenizer):
    made = dataset(cache_dir=str(tmp_path), tokenizer=tokenizer)
    assert made.preprocess.tokenizer == tokenizer
    inputs = made.preprocess(["train0"])
    found = (made.train["inputs"] == inputs["inputs"]).all(-1) & (made.train.lengths == inputs["lengths"])
    assert found.sum() == 1


def test_what_decides_the_ids_names_them_in_the_cache(tmp_path, monkeypatch):
    calls = []
    differing = (
        {},
        {"tokenizer": "characters"},
        {"vocabulary_size": 5},
        {"bucket_lengths": (4, 9)},
        {"validation_fraction": 0.3},
    )
    for _ in range(2):
        for options in differing:
            dataset(calls, cache_dir=str(tmp_path), **options)
    assert len(calls) == len(differing)
    monkeypatch.setattr("rnnjax.data.tokens.VERSION", 1_000)
    dataset(calls, cache_dir=str(tmp_path))
    assert len(calls) == len(differing) + 1, "another tokenizer reads anew"


def test_every_tokenizer_has_a_name_in_the_configuration_and_a_longest_document():
    assert set(TOKENIZERS) == set(typing.get_args(Tokenizer)) == set(tokenized.LONGEST)

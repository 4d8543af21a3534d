"""Prediction from arrays: the same rows give the same answers, and what a model would misread is refused."""

import re

import numpy as np
import pytest

import rnnjax
from tests.test_arrays import RAGGED, SINGLE, Frame, X, program


@pytest.fixture(scope="module")
def predictors():
    """Of rows of different lengths, and of one length."""
    made = {"ragged": program(RAGGED).experiment, "single": SINGLE.experiment}
    return {name: rnnjax.fit(experiment).predictor for name, experiment in made.items()}


def test_a_row_is_answered_alike_in_any_company_and_dress(predictors):
    predictor, rows = predictors["ragged"], RAGGED[:4]
    answers = predictor(rows)
    assert answers.shape == (4,)
    lengths = [len(row) for row in rows]
    junk = np.where(np.arange(5)[:, None] < np.array(lengths)[:, None, None], X[:4], 1e6)
    for other in (
        predictor(junk, lengths=lengths),
        predictor({"inputs": junk, "lengths": lengths}),
        predictor([row.tolist() for row in rows]),
        [predictor([row])[0] for row in rows],
        [predictor(row[None])[0] for row in rows],
        predictor(rows * 40)[-4:],
    ):
        np.testing.assert_allclose(other, answers, rtol=1e-5)


def test_a_predictor_without_lengths_takes_frames_and_lists(predictors):
    answers = predictors["single"](X[:3])
    for given in (Frame(X[:3]), X[:3].tolist(), {"inputs": X[:3]}, X[:3].astype(np.float32)):
        np.testing.assert_array_equal(predictors["single"](given), answers)


@pytest.mark.parametrize(
    ("which", "raw", "options", "said"),
    [
        ("ragged", RAGGED[0], {}, "one example is a batch of one, x[None]"),
        ("single", X[0], {}, "one example is a batch of one, x[None]"),
        ("ragged", X[:2], {"lengths": [5, 9]}, "lengths must lie in 0..5, got 5..9"),
        ("ragged", X[:2], {"lengths": [5.0, 3.0]}, "lengths must be integers"),
        ("ragged", X[:2], {"lengths": 3}, "lengths must be [N]"),
        ("ragged", X[:2], {"lengths": [3]}, "the inputs differ in number"),
        ("ragged", X[:2, :, :1], {}, "inputs must be [N, T, 2] as in training, got [2, 5, 1]"),
        ("ragged", X[:2] * np.nan, {}, "inputs hold NaN or infinity, first in example 0"),
        ("ragged", X[:0], {}, "no input was given"),
        ("ragged", "abc", {}, "inputs must hold numbers"),
        ("ragged", None, {}, "inputs must hold numbers"),
        ("ragged", {"a": X[:2]}, {}, "the model needs inputs, lengths, got a"),
        ("single", (X[0], X[1]), {}, "the model needs inputs, got inputs/0, inputs/1"),
        ("single", X[:2], {"lengths": [3, 4]}, "takes no lengths"),
        ("single", RAGGED[:4], {}, "takes no lengths"),
    ],
)
def test_what_a_predictor_would_misread_it_refuses(which, raw, options, said, predictors):
    with pytest.raises(rnnjax.DataError, match=re.escape(said)):
        predictors[which](raw, **options)

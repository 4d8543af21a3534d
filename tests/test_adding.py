"""Marked numbers: one in each half, their sum, and an LSTM that learns to add them over few steps."""

import dataclasses

import numpy as np
import pytest

import rnnjax
from experiments.adding import EXPERIMENT, reader
from rnnjax.data.adding import AddingData, drawn
from rnnjax.errors import UsageError


@pytest.mark.parametrize("steps", [2, 3, 50])
def test_one_number_of_each_half_is_marked_and_their_sum_is_asked_for(steps):
    x, y = drawn(200, steps, 0)
    numbers, marks = x[..., 0], x[..., 1]
    half = steps // 2
    np.testing.assert_array_equal([marks[:, :half].sum(1), marks[:, half:].sum(1)], np.ones((2, 200)))
    assert {*np.unique(marks)} <= {0.0, 1.0} and 0 <= numbers.min() < numbers.max() < 1
    np.testing.assert_allclose((numbers * marks).sum(1, keepdims=True), y, rtol=1e-6)
    assert {*marks.argmax(1)} == {*range(half)} and {*(steps - 1 - marks[:, ::-1].argmax(1))} == {*range(half, steps)}
    other, _ = drawn(200, steps, 1)
    assert np.abs(other - x).max() > 0.1


def test_splits_are_the_same_for_every_run_and_share_nothing():
    data = AddingData(steps=10, training_sequences=40, test_sequences=8, batch_size=4)
    made, again = data.load(), data.load()
    assert [len(examples) for examples in made.splits().values()] == [36, 4, 8]
    every = np.concatenate([examples["inputs"][:, :, 0] for examples in made.splits().values()])
    assert len(np.unique(every, axis=0)) == 48
    np.testing.assert_array_equal(made.train["inputs"], again.train["inputs"])
    with pytest.raises(UsageError, match=r"steps must be 2 or more"):
        AddingData(steps=1)


def test_an_lstm_adds_over_few_steps(tmp_path):
    data = AddingData(steps=10, training_sequences=2000, test_sequences=200, batch_size=40)
    made = dataclasses.replace(
        EXPERIMENT,
        data=data,
        model=reader(chrono_steps=10).clone(),
        optim=rnnjax.OptimConfig(learning_rate=1e-2, clip_norm=1.0),
        train=rnnjax.TrainConfig(epochs=6, steps_per_call=8, log=()),
        bars=False,
    )
    result = rnnjax.fit(made, workdir=tmp_path)
    assert result.metrics["test"]["rmse"] < 0.15  # always answering 1 has 0.41

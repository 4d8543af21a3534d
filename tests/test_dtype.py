"""Computing in bfloat16: parameters, logits and loss stay float32, and a run resumes bit for bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import data
from tests.marks import LONG
from tests.small import CONFIG, TEXT_CONFIG, made_up_texts, small_program, subset
from tests.test_loop import assert_identical, fit, fit_with_stops, outcome

WITH_CONV = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, conv=(4,)))


def program(config, dtype):
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype, dropout=0.0))
    if config.data.name == "digits":
        dataset = subset(data.load(config.data), 320, 64)
    else:
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, word_dropout=0.0, embedding_dropout=0.0)
        )
        dataset = made_up_texts()
    return small_program(config, dataset, devices=jax.devices()[:2])


def losses(program):
    state = program.parallel.replicate(program.create_state(0))
    found = []
    for fed in program.feed_training(program.train_plan(seed=0, epoch=0), 0):
        state, sums = program.train(state, fed)
        assert sums["loss"].dtype == jnp.float32
        found += [np.asarray(sums["loss"] / sums["weight"])]
    return np.concatenate(found), state


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG, marks=LONG, id="image"),
        pytest.param(WITH_CONV, id="conv"),
        pytest.param(TEXT_CONFIG, marks=pytest.mark.slow, id="text"),
    ],
)
def test_a_training_in_bfloat16_is_close_to_one_in_float32(config):
    (wide, _), (narrow, state) = (losses(program(config, dtype)) for dtype in ("float32", "bfloat16"))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((state.params, state.averaged)))
    np.testing.assert_allclose(narrow, wide, rtol=0.02)
    assert not np.array_equal(narrow, wide), "nothing was computed in bfloat16"


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_layers_compute_in_bfloat16_and_logits_are_float32(cell):
    config = dataclasses.replace(WITH_CONV, model=dataclasses.replace(WITH_CONV.model, cell=cell))
    made = program(config, "bfloat16")
    variables = made.create_state(0).variables()
    inputs = made.dataset.preprocess(np.asarray(made.dataset.test["inputs"][:3]))
    logits, seen = made.model.apply(variables, **inputs, capture_intermediates=True)
    assert logits.dtype == jnp.float32
    inside = {k: jax.tree.leaves(v) for k, v in seen["intermediates"].items()}
    for layer in ("conv", "recurrent"):
        assert inside[layer]
        assert all(leaf.dtype == jnp.bfloat16 for leaf in inside[layer]), layer


@pytest.mark.slow
def test_a_run_in_bfloat16_stopped_and_resumed_is_the_unbroken_run(tmp_path):
    made = program(CONFIG, "bfloat16")
    fit(made, 0, tmp_path / "unbroken")
    assert fit_with_stops(made, tmp_path / "stopped", 1) >= 1
    assert_identical(outcome(made, tmp_path / "unbroken"), outcome(made, tmp_path / "stopped"))

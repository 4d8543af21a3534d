"""Sweeps against a reading of each line by itself, and what their outputs have seen."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from experiments.mnist_pixels import RememberingLSTM
from experiments.mnist_renet import EXPERIMENT, both_ways, renet
from rnnjax import RNN
from rnnjax.errors import UsageError
from rnnjax.layers.sweeps import Sweep

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def sweep():
    layer = Sweep(both_ways(4), both_ways(5), patch=2)
    return layer, jax.jit(layer.init)(jax.random.key(0), IMAGES)


def test_each_column_is_read_by_itself_and_then_each_row(sweep):
    layer, variables = sweep
    patches = IMAGES.reshape(2, 2, 2, 3, 2, 3)

    def read(name, features, lines):
        return both_ways(features).apply({"params": variables["params"][name]}, np.stack(lines)[None])[1][0]

    for image in range(2):
        grid = [[patches[image, row, :, column].reshape(-1) for column in range(3)] for row in range(2)]
        columns = [read("vertical", 4, [grid[row][column] for row in range(2)]) for column in range(3)]
        rows = [read("horizontal", 5, [columns[column][row] for column in range(3)]) for row in range(2)]
        np.testing.assert_allclose(layer.apply(variables, IMAGES)[image], np.stack(rows), atol=1e-5)


def test_every_output_has_seen_the_whole_image(sweep):
    layer, variables = sweep
    seen = jax.jacrev(lambda images: layer.apply(variables, images)[0].sum(-1))(jnp.asarray(IMAGES))[:, :, 0]
    assert (np.abs(seen).sum(-1) > 0).all()


def test_patches_that_do_not_divide_an_image_are_refused():
    with pytest.raises(UsageError, match="patches of 4 x 4 do not divide images of 4 x 6"):
        Sweep(both_ways(4), both_ways(4), patch=4).init(jax.random.key(0), IMAGES)


def test_it_learns_digits(tmp_path):
    made = dataclasses.replace(
        EXPERIMENT,
        data=rnnjax.ImageData(name="digits", batch_size=32),
        model=renet((16,), dropout=0.0),
        optim=rnnjax.OptimConfig(learning_rate=1e-2),
        train=rnnjax.TrainConfig(epochs=6, steps_per_call=8, log=()),
    )
    assert rnnjax.fit(made, workdir=tmp_path).headline > 0.9


def test_a_remembering_lstm_begins_with_chrono_biases_and_is_the_lstm_otherwise():
    inputs = IMAGES.reshape(2, -1, 1)
    ours = RNN(RememberingLSTM(8)).init(jax.random.key(0), inputs)
    theirs = RNN(rnnjax.LSTMCell(8, chrono_steps=784)).init(jax.random.key(0), inputs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)

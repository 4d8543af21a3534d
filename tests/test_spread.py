"""One training step, spread over devices by ``jax.pmap`` or by ``jax.shard_map``: neither changes a number."""

import dataclasses
import os
from typing import Any

import jax
import numpy as np
import pytest

from rnnjax import data
from rnnjax.data.plan import Chunk
from rnnjax.training.parallel import DataParallel
from rnnjax.training.runner import Runner
from tests import under_shard_map
from tests.strangers import own_metric, ragged
from tests.toy import DATASETS, IMAGES, TEXTS, assert_close, program_of, with_holes

DEVICES = jax.devices()[:2]
ADVERSARIAL = dataclasses.replace(TEXTS, optim=dataclasses.replace(TEXTS.optim, adversarial=0.5))
DROPOUT = dataclasses.replace(IMAGES, model=dataclasses.replace(IMAGES.model, dropout=0.5, conv=(2,), batch_norm=True))
STREAMED = dataclasses.replace(IMAGES, data=dataclasses.replace(IMAGES.data, device_budget_mib=0))


def _own(experiment: Any) -> Runner:
    return Runner(experiment, data.load(experiment.data), DEVICES)


PROGRAMS = {
    "images with dropout and batch norm": lambda: program_of(DROPOUT, DATASETS[IMAGES], DEVICES),
    "images streamed": lambda: program_of(STREAMED, DATASETS[IMAGES], DEVICES),
    "texts": lambda: program_of(TEXTS, DATASETS[TEXTS], DEVICES),
    "adversarial texts": lambda: program_of(ADVERSARIAL, DATASETS[TEXTS], DEVICES),
    "a regression of ragged arrays": lambda: _own(ragged.EXPERIMENT),
    "a task of one's own": lambda: _own(own_metric.EXPERIMENT),
}


def _some(program: Runner) -> list[Chunk]:
    """Three steps of one length, with rows that do not count, unevenly over the devices."""
    every = program.train_plan(seed=5, epoch=0)
    chunks = with_holes([chunk for chunk in every if chunk.length == every[0].length][:3])
    halves = [np.split(chunk.mask, 2, axis=1) for chunk in chunks]
    assert any((left.sum(1) != right.sum(1)).any() for left, right in halves)
    return chunks


# Uneven rows, batch norm and keys of each device; the slow ones differ in what a step is fed.
FAST = ("images with dropout and batch norm",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in PROGRAMS]
)
def test_pmap_and_shard_map_train_and_evaluate_alike(name, monkeypatch):
    found = []
    for spread in (under_shard_map.PMAP, under_shard_map.spread):
        monkeypatch.setattr(DataParallel, "spread", spread)
        program = PROGRAMS[name]()
        start = program.create_state(seed=1)
        state, every = program.place(start), []
        for fed in program.feed_training(_some(program), 0):
            state, sums = program.train(state, fed)
            every.append(program.parallel.to_host(sums))
        variables = program.on_host(state).variables()
        found.append((program.on_host(state), every, program.evaluate_keeping(variables, "test")))
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), found[-1][0].params, start.params)
        assert min(jax.tree.leaves(moved)) > 1e-4, "a parameter that did not learn proves nothing"
    (ours, our_sums, our_answers), (theirs, their_sums, their_answers) = found
    assert_close(ours, theirs, 1e-6)
    assert_close(our_sums, their_sums, 1e-6)
    assert_close(our_answers, their_answers, 1e-6)


def test_an_axis_is_split_squeezed_or_shared():
    """Against what pmap makes of them: what is split, what all have, donated or not, and a dictionary of both."""
    split = np.arange(2 * 3, dtype=np.float32).reshape(2, 3)
    shared = {"a": np.float32(2), "b": np.arange(3, dtype=np.float32)}

    def function(x: Any, both: Any, factor: Any) -> Any:
        assert x.shape == (3,) and both["split"].shape == (3,)
        total = jax.lax.psum((factor["a"] * x + both["split"] + both["shared"]).sum(), "batch")
        return total, x + factor["b"] + jax.lax.axis_index("batch")

    axes = (0, {"split": 0, "shared": None}, None), (None, 0)
    arguments = split, {"split": 2 * split, "shared": np.float32(5)}, shared
    results = [
        spread(DataParallel(DEVICES), function, *axes)(*arguments)
        for spread in (under_shard_map.PMAP, under_shard_map.spread)
    ]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    by_hand = sum((2 * row + 2 * row + 5).sum() for row in split)
    assert results[0][0] == by_hand


def test_the_environment_names_the_way():
    wanted = {"shard_map": under_shard_map.spread}.get(os.environ.get("RNNJAX_TEST_SPREAD", ""), under_shard_map.PMAP)
    assert DataParallel.spread is wanted

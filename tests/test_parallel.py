"""The compiled steps: one device against eight, resident against streamed data, and metrics against a loop."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.config import TextData
from rnnjax.data.plan import Chunk
from rnnjax.errors import UsageError
from rnnjax.tasks.losses import for_outputs
from rnnjax.training import parallel
from rnnjax.training.runner import Runner
from tests.toy import IMAGES, TEXTS, assert_close, both_kinds, plan, program_for, start_of, with_holes


def train(program: Runner, chunks: list[Chunk], epoch: int = 0):
    """The host's copy of the state after some chunks, and each chunk's sums."""
    start = start_of(TEXTS if isinstance(program.experiment.data, TextData) else IMAGES)
    state, every = program.place(start), []
    for fed in program.feed_training(chunks, epoch):
        state, sums = program.train(state, fed)
        every.append(jax.tree.map(np.asarray, sums))
    return program.on_host(state), every


def assert_identical(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.always
@both_kinds
@pytest.mark.parametrize("masks", ["full", "uneven"])
def test_eight_devices_train_as_one(config, masks):
    every = program_for(config).train_plan(seed=5, epoch=0)
    longest = max(every, key=lambda chunk: chunk.length or 0).length
    chunks = [chunk for chunk in every if chunk.length == longest]  # one bucket, one compilation
    assert sum(chunk.steps for chunk in chunks) >= 3
    if masks == "uneven":
        chunks = with_holes(chunks)
        assert any(0 < row.sum() < 8 for chunk in chunks for row in chunk.mask)
    results = [train(program_for(config, devices), chunks) for devices in (1, 8)]
    (one, sums), (eight, sums_of_eight) = results
    assert int(one.step) == sum(chunk.steps for chunk in chunks)
    assert_close(eight.params, one.params)
    assert_close(eight.averaged, one.averaged)
    assert_close(eight.opt_state, one.opt_state)
    assert_close(sums_of_eight, sums)
    for chunk, chunk_sums in zip(chunks, sums, strict=True):
        np.testing.assert_array_equal(chunk_sums["weight"], chunk.mask.sum(1))
    start = start_of(config)
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (one.params, start.params)), strict=True)]
    assert min(moved) > 1e-3, "a parameter that did not learn proves nothing"


def test_a_masked_row_does_not_matter():
    """Whatever example stands in it."""
    program = program_for(IMAGES)
    chunks = with_holes(plan(program))
    others = [Chunk(None, np.where(c.mask, c.rows, 0).astype(np.int32), c.mask) for c in chunks]
    ours, theirs = (train(program, c) for c in (chunks, others))
    assert_identical(ours, theirs)


def test_a_step_that_is_not_valid_leaves_the_state_as_it_is():
    program = program_for(IMAGES, 8)
    first, second, *_ = plan(program)
    nothing = np.zeros_like(first.mask)
    before, _ = train(program, [first])
    after, sums = train(program, [first, Chunk(None, second.rows, nothing)])
    assert_identical(after, before)
    assert (sums[1]["weight"] == 0).all()
    # Half a chunk: its valid step is taken, and none else.
    mask = second.mask.copy()
    mask[1] = False
    half, _ = train(program, [first, Chunk(None, second.rows, mask)])
    assert int(half.step) == int(before.step) + 1
    swapped = [array[::-1].copy() for array in (second.rows, mask)]
    other, _ = train(program, [first, Chunk(None, *swapped)])
    assert_identical(other, half)


@pytest.mark.parametrize("config", [IMAGES, pytest.param(TEXTS, marks=pytest.mark.slow)], ids=["images", "texts"])
def test_streamed_data_train_and_evaluate_as_resident_data(config):
    """Bit for bit, with dropout and shifts on."""
    resident = program_for(config, 2, dropout=0.5)
    streamed = program_for(config, 2, dropout=0.5, device_budget_mib=0)
    assert (
        resident.train_plan(seed=5, epoch=0)[0].rows.tolist() == streamed.train_plan(seed=5, epoch=0)[0].rows.tolist()
    )
    ours, theirs = (train(program, plan(program), epoch=2) for program in (resident, streamed))
    assert_identical(theirs, ours)
    variables = ours[0].variables()
    assert streamed.evaluate(variables, "test") == resident.evaluate(variables, "test")


@both_kinds
@pytest.mark.parametrize("devices", [1, 8])
def test_evaluation_is_a_loop_over_single_examples(config, devices):
    """19 examples in batches of 8: the last batch is padded, and some devices see only padding."""
    program = program_for(config, devices)
    variables = start_of(config).variables()
    actual = program.evaluate(variables, "test")
    examples, preprocess = program.dataset.test, program.dataset.preprocess

    @jax.jit
    def logits_of(inputs, **lengths):
        return program.model.apply(variables, inputs, **lengths)

    losses, correct = [], []
    for row in range(len(examples)):
        one = examples.take(np.array([row]))
        lengths = {} if one.lengths is None else {"lengths": one.lengths}
        logits = np.asarray(logits_of(preprocess.on_device({"inputs": one["inputs"]})["inputs"], **lengths))
        losses.append(float(for_outputs(logits.shape[-1])(jnp.array(logits), jnp.array(one["labels"]), 0.0)[0]))
        predicted = logits[0].argmax() if logits.shape[-1] > 1 else int(logits[0, 0] > 0)
        correct.append(predicted == one["labels"][0])
    assert 0 < np.mean(correct) < 1
    assert actual["accuracy"] == pytest.approx(np.mean(correct), abs=1e-6)
    assert actual["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_learning_rate_scale_scales_a_steps_whole_move():
    """From the same state, weight decay included, and without compiling anew."""
    program, start = program_for(IMAGES), start_of(IMAGES)
    rows = np.arange(16, dtype=np.int32).reshape(2, 8)
    chunk = Chunk(None, rows, np.ones((2, 8), bool) & (np.arange(2)[:, None] == 0))  # one step, then none

    def moved(**options):
        (fed,) = program.feed_training([chunk], 0)
        state, _ = program.train(program.place(start), fed, **options)
        return jax.tree.map(np.subtract, program.on_host(state).params, start.params)

    whole, called = moved(), program.compile_seconds
    half = moved(learning_rate_scale=0.5)
    assert program.compile_seconds == called
    assert_close(half, jax.tree.map(lambda leaf: 0.5 * leaf, whole), 1e-6)
    assert min(np.abs(leaf).max() for leaf in jax.tree.leaves(half)) > 1e-3


def test_dropout_differs_by_step_and_by_device():
    """One image in all rows: without dropout all losses are equal, with a mask a device only some may be."""
    program = program_for(IMAGES, 2, dropout=0.5, max_shift=0)
    same = Chunk(None, np.zeros((2, 8), np.int32), np.ones((2, 8), bool))
    halves = [Chunk(None, same.rows, same.mask & (np.arange(8) // 4 == half)) for half in (0, 1)]
    (_, (first,)), (_, (second,)) = (train(program, [chunk]) for chunk in halves)
    assert first["loss"][0] != second["loss"][0]
    still = Chunk(None, same.rows, np.stack([np.zeros(8, bool), same.mask[0]]))
    (_, (once,)) = train(program, [still])
    assert once["loss"][1] == train(program, [same])[1][0]["loss"][0]
    assert train(program, [same])[1][0]["loss"][1] != once["loss"][1]


@pytest.mark.parametrize(("batch_size", "near"), [(12, "8 or 16"), (7, "such as 8")])
def test_a_batch_that_does_not_divide_is_refused_before_anything_compiles(batch_size, near, monkeypatch):
    monkeypatch.setattr(jax, "pmap", lambda *_, **__: pytest.fail("compiled"))
    with pytest.raises(UsageError, match=f"a batch of {batch_size} does not divide over 8 devices; .*{near}"):
        program_for(IMAGES, 8, batch_size=batch_size)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="a batch of 64 is larger than the training split of 53 examples"):
        program_for(IMAGES, 8, batch_size=64)


def test_shards_are_contiguous_parts_of_each_batch():
    data_parallel = parallel.DataParallel(jax.devices()[:4])
    rows = np.arange(2 * 8 * 3).reshape(2, 8, 3)
    shards = data_parallel.shard(rows)
    assert shards.shape == (4, 2, 2, 3)
    for device in range(4):
        np.testing.assert_array_equal(shards[device], rows[:, 2 * device : 2 * device + 2])


def test_the_hosts_copy_survives_donation():
    data_parallel = parallel.DataParallel(jax.devices()[:2])
    on_devices = data_parallel.replicate({"a": np.arange(3.0)})
    copy = data_parallel.to_host(on_devices)
    jax.tree.map(lambda leaf: leaf.delete(), on_devices)
    np.testing.assert_array_equal(copy["a"], np.arange(3.0))


def test_the_number_of_cpu_devices_cannot_change_once_jax_runs():
    assert len(jax.devices()) == 8
    parallel.start(cpu_devices=8)
    with pytest.raises(UsageError, match=r"already runs with 8 CPU device\(s\), so it cannot have 16"):
        parallel.start(cpu_devices=16)


def test_unset_takes_the_devices_that_are_there():
    parallel.start(batch_size=128)
    assert len(jax.devices()) == 8


@pytest.mark.parametrize(
    ("batch_size", "cores", "devices"),
    [
        *[(256, 2, 2), (128, 2, 2), (64, 2, 1), (1, 2, 1), (129, 2, 1)],
        *[(256, 1, 1), (256, 64, 4), (192, 64, 3), (200, 3, 2)],
    ],
)
def test_cpu_devices_share_a_batch_evenly_and_each_has_enough_of_it(batch_size, cores, devices):
    assert parallel.devices_for(batch_size, cores) == devices


def test_no_more_cores_are_counted_than_the_process_may_use():
    assert 1 <= parallel._available_cores() <= len(os.sched_getaffinity(0))
    program = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    program += "from rnnjax.training import parallel; parallel.start(batch_size=4096); "
    program += "import jax; print(len(jax.devices('cpu')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "1", done.stderr

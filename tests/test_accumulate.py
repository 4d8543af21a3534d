"""A batch worked through in parts makes the update of the batch at once, whatever is masked or weighted."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import cli
from rnnjax.config import Config, OptimConfig
from rnnjax.errors import UsageError
from rnnjax.runs.fitting import run
from rnnjax.tasks.base import Task, mean
from rnnjax.training.accumulate import check_parts
from rnnjax.training.runner import Runner
from tests.marks import LONG
from tests.strangers.language_model import EXPERIMENT as STREAMS
from tests.toy import DATASETS, IMAGES, TEXTS, assert_close, plan, program_of, trained, with_holes

CLIPPED = OptimConfig(learning_rate=0.02, schedule="constant", clip_norm=0.1, weight_decay=0.01, ema_decay=0.9)
ADVERSARIAL = dataclasses.replace(CLIPPED, adversarial=0.5)


def in_parts(config: Config, parts: int, **parts_of_it: Any) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, accumulate=parts), **parts_of_it)


def steps_of(config: Config, parts: int, devices: int = 1, **other: Any):
    """The state and the sums after two chunks whose batches miss rows unevenly, so that parts weigh differently."""
    program = program_of(in_parts(config, parts), DATASETS[config], jax.devices()[:devices], **other)
    return trained(program, program.create_state(seed=1), with_holes(plan(program, 2)))


@pytest.mark.parametrize(
    ("kind", "parts", "devices", "optim"),
    [
        pytest.param(IMAGES, 4, 2, CLIPPED, id="images, 2 devices"),
        pytest.param(TEXTS, 2, 1, ADVERSARIAL, id="texts, adversarial"),
        pytest.param(TEXTS, 8, 1, CLIPPED, id="a part a row", marks=pytest.mark.slow),
        pytest.param(IMAGES, 2, 4, CLIPPED, id="4 devices", marks=LONG),
    ],
)
def test_parts_make_the_update_of_the_whole_batch(kind, parts, devices, optim):
    """Augmentation included, which is drawn by example."""
    config = dataclasses.replace(kind, optim=optim)
    DATASETS.setdefault(config, DATASETS[kind])
    (state, sums), (expected, its_sums) = (steps_of(config, n, devices) for n in (parts, 1))
    assert_close(state, expected, 1e-4)
    for ours, theirs in zip(sums, its_sums, strict=True):
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-4)
        np.testing.assert_allclose(ours["grad_norm"], theirs["grad_norm"], rtol=1e-3)
        np.testing.assert_array_equal(ours["weight"], theirs["weight"])


@dataclass(frozen=True)
class Tagged(Task):
    """A target a step of a sequence; steps weigh as ``weights`` says, and some rows have hardly any."""

    def objective(self, apply, batch):
        first = self.sums(apply(batch), batch, train=True)
        half = self.sums(apply({**batch, "inputs": batch["inputs"] / 2}), batch, train=True)
        return first | {"loss": (first["loss"] + half["loss"]) / 2}

    def sums(self, outputs, batch, *, train):
        weights = batch["weights"] * batch["mask"][:, None]
        squares = (outputs[..., 0] - batch["targets"]) ** 2
        return {"loss": (weights * squares).sum(), "weight": weights.sum()}

    def finish(self, totals):
        return {"loss": mean(totals["loss"], totals["weight"])}


class Steps(nn.Module):
    """A line a step, ``a x + b``, whose gradient NumPy knows too."""

    @nn.compact
    def __call__(self, inputs, *, train=False):
        return nn.Dense(1)(inputs)


def test_sequences_with_weights_are_divided_by_the_weight_of_the_batch_and_not_by_that_of_parts():
    """Against NumPy: one step of plain gradient descent on the weighted mean over all steps of all rows."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 5, 1)).astype(np.float32), rng.normal(size=(8, 5)).astype(np.float32)
    weights = (rng.random((8, 5)) * np.logspace(-3, 1, 8)[:, None]).astype(np.float32)
    rows = rnnjax.Examples({"inputs": x, "targets": y, "weights": weights})
    spec = rnnjax.Spec({"inputs": rnnjax.Shape.of(x[:1])})
    dataset = rnnjax.Dataset("made up", rows, rows, None, given=spec)
    optim = OptimConfig(optimizer="sgd", momentum=0.0, learning_rate=0.5, schedule="constant", clip_norm=0.0)
    data = rnnjax.DataConfig(name="made up", batch_size=8)
    config = dataclasses.replace(in_parts(IMAGES, 4), optim=optim, data=data)
    program = program_of(config, dataset, model=Steps(), task=Tagged())
    start = program.create_state(0)
    state, _ = trained(program, start, plan(program, 1))
    dense = start.params["Dense_0"]
    a, b = float(dense["kernel"][0, 0]), float(dense["bias"][0])
    gradient = np.zeros(2)
    for scale in (1, 0.5):
        off = 2 * weights * (a * scale * x[..., 0] + b - y) / weights.sum(dtype=np.float64)
        gradient += np.array([(off * scale * x[..., 0]).sum(), off.sum()]) / 2
    found = [state.params["Dense_0"]["kernel"][0, 0], state.params["Dense_0"]["bias"][0]]
    np.testing.assert_allclose(found, [a, b] - 0.5 * gradient, rtol=1e-5)


def test_each_part_has_its_rows_of_a_carry_that_goes_on_from_batch_to_batch():
    """Streams through a recurrence: parameters and carries as of the batch at once, over two chunks."""
    found = []
    for parts in (2, 1):
        train = dataclasses.replace(STREAMS.train, accumulate=parts, steps_per_call=2)
        data = dataclasses.replace(STREAMS.data, batch_size=8)
        experiment = dataclasses.replace(STREAMS, data=data, train=train)
        program = Runner(experiment, data.load(), jax.devices()[:2])
        found.append(trained(program, program.create_state(seed=1), plan(program, 2))[0])
    assert jax.tree.leaves(found[0].carry)
    assert_close(found[0], found[1], 1e-4)


class Noise(nn.Module):
    """What dropout leaves of each row, in its logits; a batch norm beside it."""

    @nn.compact
    def __call__(self, inputs, *, train=False):
        x = inputs.reshape(len(inputs), -1)
        scale = self.param("scale", nn.initializers.ones, (3,))
        normed = nn.BatchNorm(use_running_average=not train, momentum=0.5, name="norm")(x)
        kept = nn.Dropout(0.5, deterministic=not train)(jnp.ones((len(x), 64)))
        self.variable("seen", "kept", lambda: jnp.zeros(64)).value = kept.sum(0)
        return normed[:, :3] * scale


def test_each_part_draws_its_own_dropout_and_moves_the_averages_of_a_batch_norm_by_its_own_statistics():
    """A batch norm's against NumPy; a collection that is set by each part is the last one's."""
    config = dataclasses.replace(in_parts(IMAGES, 2), data=dataclasses.replace(IMAGES.data, max_shift=0))
    dataset = DATASETS[IMAGES]
    preprocess: Any = dataset.preprocess
    program = program_of(config, dataset, model=Noise())
    (chunk, *_) = plan(program, 1)
    chunk = dataclasses.replace(chunk, rows=chunk.rows[:1], mask=chunk.mask[:1])
    state, _ = trained(program, program.create_state(0), [chunk])
    given = np.asarray(preprocess.normalize(dataset.train["inputs"][chunk.rows[0]]), np.float64).reshape(8, -1)
    mean, var = np.zeros(16), np.ones(16)
    for part in (given[:4], given[4:]):
        mean, var = (mean + part.mean(0)) / 2, (var + part.var(0)) / 2
    np.testing.assert_allclose(state.model_state["batch_stats"]["norm"]["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.model_state["batch_stats"]["norm"]["var"], var, rtol=1e-4, atol=1e-5)
    whole = program_of(in_parts(config, 1), dataset, model=Noise())
    at_once, _ = trained(whole, whole.create_state(0), [chunk])
    last, every = (np.asarray(s.model_state["seen"]["kept"]) / 2 for s in (state, at_once))
    assert last.max() <= 4 and every.max() <= 8, "a part has half of the rows"
    key = jax.random.wrap_key_data(program.create_state(0).key)
    drawn = [jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, 0), 0), part) for part in (0, 1)]
    variables, first = {"params": state.params, **state.model_state}, given[:4].astype(np.float32)
    made = [Noise().apply(variables, first, train=True, rngs={"dropout": own}, mutable=True)[1] for own in drawn]
    kept = [np.asarray(changed["seen"]["kept"]) / 2 for changed in made]
    np.testing.assert_array_equal(last, kept[1])
    assert (kept[0] != kept[1]).any()


@pytest.mark.optimized
def test_memory_falls_with_the_number_of_parts():
    """Temporaries of the compiled step, as XLA counts them."""
    x, y = np.zeros((64, 200, 4, 1), np.float32), np.arange(64) % 2
    data = rnnjax.Arrays(x, y, validation_fraction=0.25, batch_size=32)
    model = rnnjax.ImageModel(features=(64,))

    def temporaries(parts: int) -> int:
        train = rnnjax.TrainConfig(epochs=1, accumulate=parts)
        experiment = rnnjax.Experiment(data=data, model=model, train=train)
        program = Runner(experiment, data.load(), jax.devices()[:1])
        state = jax.eval_shape(program._initialize, jax.random.key(0))
        chunk, rows, arguments = next(program.feed_training(program.train_plan(seed=0, epoch=0), 0))
        arguments["learning_rate_scale"] = np.float32(1)
        lowered = program._train_function(chunk.length).lower(state, rows, arguments)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporaries(8) < temporaries(1) / 4


@pytest.mark.parametrize(
    ("parts", "batch", "devices", "said"),
    [
        (3, 64, 1, "a batch of 64 into equal parts; take 2 or 4, or a --data.batch-size of 63 or 66"),
        (3, 64, 2, "equal parts on each of 2 devices; take 2 or 4, or a --data.batch-size of 60 or 66"),
        (64, 64, 2, "take 32, or a --data.batch-size of 128"),
    ],
)
def test_parts_that_are_not_equal_are_refused_with_values_near_by(parts, batch, devices, said):
    with pytest.raises(UsageError, match=said) as refused:
        check_parts(parts, batch, devices)
    assert f"--train.accumulate {parts} does not divide" in str(refused.value)
    for near in (2, 4) if parts == 3 else (32,):
        check_parts(near, batch, devices)


def test_a_run_in_parts_is_evaluated_with_a_batch_that_they_do_not_divide(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(60, 4, 2, 1)).astype(np.float32)
    data = rnnjax.Arrays(x, (x.sum((1, 2, 3)) > 0).astype(int), validation_fraction=0.2, batch_size=6)
    train, parallel = rnnjax.TrainConfig(epochs=1, accumulate=3, test=False), rnnjax.ParallelConfig(cpu_devices=1)
    model = rnnjax.ImageModel(features=(3,))
    experiment = rnnjax.Experiment(name="parts", data=data, model=model, train=train, parallel=parallel)
    run(Runner(experiment, data.load(), jax.devices()[:1]), 0, tmp_path / "run")
    assert cli.main(experiment, ["evaluate", "--workdir", str(tmp_path / "run")]) == 0  # on all devices of the tests
    assert '"split": "validation"' in capsys.readouterr().out
    assert cli.main(experiment, ["--train.accumulate", "0"]) == 2
    assert "--train.accumulate must be positive" in capsys.readouterr().err

"""A work folder that an earlier version left (its modules, names of sums and records were others) loads and resumes."""

import json
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax import data
from rnnjax.config import Config
from rnnjax.experiment import Experiment
from rnnjax.runs.fitting import run
from rnnjax.training.runner import Runner

CONFIG = Config(
    data=rnnjax.ImageData(name="digits", batch_size=64, max_shift=1),
    model=rnnjax.ImageModel(
        features=(6,), bidirectional=True, conv=(2,), batch_norm=True, mirror=True, dropout=0.2, pooling=("mean", "max")
    ),
    optim=rnnjax.OptimConfig(learning_rate=1e-2, ema_decay=0.9, label_smoothing=0.1),
    train=rnnjax.TrainConfig(epochs=2, steps_per_call=4),
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run of two epochs that was stopped in the second, and what its unbroken twin measured."""
    with tarfile.open(Path(__file__).with_name("old_run.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture(scope="module")
def program() -> Runner:
    return Runner(Experiment(name="old", **vars(CONFIG)), data.load(CONFIG.data), jax.devices()[:1])


def test_its_best_checkpoint_answers_as_it_was_measured(old, program):
    expected = json.loads((old / "expected.json").read_text())
    predictor = rnnjax.load(old / "run")
    test = program.dataset.test
    right = predictor(test["inputs"]) == test["labels"]
    assert expected["best_epoch"] == 1, "so that the checkpoint at hand is the one that was measured"
    assert right.mean() == pytest.approx(expected["metrics"]["test"]["accuracy"], abs=1e-6)
    model, variables, preprocess = predictor
    logits = np.asarray(model.apply(variables, **preprocess(test["inputs"])))
    np.testing.assert_allclose(predictor.logits(test["inputs"]), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_is_resumed_and_ends_as_its_unbroken_twin(old, program):
    """The sums of its half epoch have an older name for the number of rows."""
    expected = json.loads((old / "expected.json").read_text())
    steps = []
    result = run(program, 0, old / "run", on_chunk=steps.append)
    assert steps == [36, 40]
    for split, values in expected["metrics"].items():
        assert result["metrics"][split] == pytest.approx(values, rel=1e-4), split

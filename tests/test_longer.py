"""A run that is trained longer is the run that was that long at once, or it is refused with the reason."""

import dataclasses
import json
import os
import signal

import jax
import optax
import pytest

from experiments.digits_rows import EXPERIMENT as DIGITS
from rnnjax import data
from rnnjax.cli import main
from rnnjax.config import OptimConfig
from rnnjax.errors import Interrupted, UsageError
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.longer import obstacle
from rnnjax.runs.predict import load
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.runner import Runner
from tests.marks import LONG
from tests.small import CONFIG, EXPERIMENT, subset
from tests.test_loop import assert_identical, outcome

CONSTANT = dataclasses.replace(CONFIG.optim, schedule="constant", optimizer="sgd", learning_rate=0.05)
PLATEAU = dataclasses.replace(CONFIG.optim, schedule="plateau", learning_rate=1e-8, plateau_patience=1)
HANDED = optax.chain(optax.clip(1.0), optax.adam(optax.exponential_decay(1e-2, 10, 0.5)))


class Built:
    """An optimizer that is told the number of steps."""

    def build(self, steps):
        return optax.sgd(optax.linear_schedule(0.1, 0.0, steps))


@pytest.fixture(scope="module")
def few():
    return subset(data.load(CONFIG.data), 256, 64)


def program(few, optim, epochs, **train):
    config = dataclasses.replace(CONFIG, optim=optim, train=dataclasses.replace(CONFIG.train, epochs=epochs, **train))
    return Runner(EXPERIMENT.replaced(config), few, devices=jax.devices()[:1])


def result(root):
    return json.loads((root / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "optim",
    [
        pytest.param(CONSTANT, id="constant"),
        pytest.param(PLATEAU, id="plateau", marks=LONG),
        pytest.param(HANDED, id="handed over", marks=LONG),
    ],
)
def test_a_run_trained_longer_twice_and_interrupted_is_the_unbroken_run(optim, few, tmp_path):
    root, unbroken = tmp_path / "longer", tmp_path / "unbroken"
    fit(program(few, optim, 1), 0, root)
    first = result(root)
    assert first["epochs"] == first["config"]["train"]["epochs"] == 1
    fit(program(few, optim, 2), 0, root)
    assert result(root)["epochs"] == 2 and result(root)["run"] == first["run"]

    def stop(step):
        os.kill(os.getpid(), signal.SIGTERM)

    last = program(few, optim, 4)
    with pytest.raises(Interrupted):
        fit(last, 0, root, on_chunk=stop)
    assert result(root)["epochs"] == 2, "what was finished is kept until the longer run is"
    assert WorkDir(root, last.experiment.kinds).finished(epochs=4) is None
    fit(last, 0, root)
    fit(last, 0, unbroken)
    assert result(root)["epochs"] == result(root)["config"]["train"]["epochs"] == 4
    assert result(root)["sessions"] == 4
    assert_identical(outcome(last, root), outcome(last, unbroken))
    assert_identical(load(root, last.experiment).variables, load(unbroken, last.experiment).variables)


def test_patience_ends_a_longer_run_where_it_ended_the_shorter_one(few, tmp_path):
    root = tmp_path / "run"
    fit(program(few, PLATEAU, 4, patience=1), 0, root)
    before = result(root)
    assert before["epochs"] < 4
    fit(program(few, PLATEAU, 6, patience=1), 0, root)
    after = result(root)
    assert after["epochs"] == before["epochs"] and after["metrics"] == before["metrics"]


@pytest.mark.slow
def test_a_damaged_record_of_a_longer_run_is_mended(few, tmp_path):
    root, last = tmp_path / "run", program(few, CONSTANT, 3)
    fit(program(few, CONSTANT, 1), 0, root)
    fit(program(few, CONSTANT, 2), 0, root)
    (root / "config.json").write_text("{")
    fit(last, 0, root)
    fit(last, 0, tmp_path / "unbroken")
    assert_identical(outcome(last, root), outcome(last, tmp_path / "unbroken"))
    assert WorkDir(root).read_run().begun == 1
    (root / "config.json").write_text("{")
    (root / "result.json").unlink()
    with pytest.raises(UsageError, match="was trained for 3 epochs already"):
        fit(program(few, CONSTANT, 1), 0, root)


REFUSED = {
    "one-cycle": (CONFIG.optim, "the one-cycle schedule spans all epochs"),
    "cosine": (dataclasses.replace(CONSTANT, schedule="cosine"), "the cosine schedule spans all epochs"),
    "warm-up": (dataclasses.replace(CONSTANT, warmup_fraction=0.1), "the warm-up is a share of all steps"),
    "adversarial": (dataclasses.replace(PLATEAU, adversarial=0.1), "adversarial training grow over all steps"),
    "built": (Built(), "its optimizer is built for a number of steps"),
}


@pytest.mark.parametrize(
    "name",
    [
        "one-cycle",
        pytest.param("cosine", marks=LONG),  # the same sentence with its name
        *(pytest.param(name, marks=pytest.mark.slow) for name in REFUSED if name not in ("one-cycle", "cosine")),
    ],
)
def test_where_the_length_is_part_of_what_was_trained_it_is_refused_with_the_reason(name, few, tmp_path):
    optim, reason = REFUSED[name]
    root = tmp_path / "run"
    fit(program(few, optim, 1), 0, root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=rf"train.epochs: 2, not 1; the length is part .*{reason}") as refused:
        fit(program(few, optim, 2), 0, root)
    assert "--fresh to delete it, or another --runs-dir" in str(refused.value)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_section_of_ones_own_may_depend_on_the_number_of_steps():
    class Own(OptimConfig):
        def build(self, steps):
            return optax.sgd(1 / steps)

    assert obstacle(Own(schedule="constant")) == "its optimizer is built for a number of steps"
    assert obstacle(OptimConfig(schedule="constant")) is None


def test_fewer_epochs_and_other_differences_are_refused_as_ever(few, tmp_path):
    root = tmp_path / "run"
    fit(program(few, CONSTANT, 2), 0, root)
    with pytest.raises(UsageError, match=r"train.epochs: 1, not 2"):
        fit(program(few, CONSTANT, 1), 0, root)
    with pytest.raises(UsageError, match=r"optim.momentum: 0.5, not 0.9") as refused:
        fit(program(few, dataclasses.replace(CONSTANT, momentum=0.5), 3), 0, root)
    assert "train.epochs" not in str(refused.value)


@pytest.mark.slow
def test_the_command_line_says_that_a_finished_run_can_be_trained_longer_and_does_it(tmp_path, capsys):
    small = ["--model.features", "4", "--seeds", "0", "--runs-dir", str(tmp_path)]
    constant = [*small, "--optim.schedule", "constant"]
    assert main(DIGITS, [*constant, "--train.epochs", "1"]) == 0
    assert main(DIGITS, [*constant, "--train.epochs", "1"]) == 0
    assert "more --train.epochs train it longer" in capsys.readouterr().out
    assert main(DIGITS, [*constant, "--train.epochs", "2"]) == 0
    shown = capsys.readouterr().out
    assert "resuming" in shown and "finished already" not in shown
    assert main(DIGITS, ["evaluate", "--workdir", str(tmp_path / "digits_rows" / "seed-0")]) == 0

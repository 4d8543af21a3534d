"""Validation within epochs: when it is due, what it decides, and that an interrupted run is the unbroken one."""

import dataclasses

import jax
import numpy as np
import pytest

from rnnjax import cli
from rnnjax.config import ImageData
from rnnjax.data.plan import Chunk
from rnnjax.runs.announce import print_start
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.log import read_metrics
from rnnjax.runs.predict import load
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from tests.small import CONFIG, EXPERIMENT, small_program
from tests.test_loop import assert_identical, fit_with_stops, outcome

PLATEAU = dataclasses.replace(CONFIG.optim, schedule="plateau", learning_rate=1e-3, plateau_patience=2)
DATA, MODEL = ImageData(name="digits", batch_size=64), dataclasses.replace(CONFIG.model, features=(4,))
SMALL = dataclasses.replace(CONFIG, data=DATA, model=MODEL, optim=PLATEAU)


@pytest.fixture(scope="module")
def compiled():
    """Calls of 4 steps, 20 steps an epoch; compiled once for all tests."""
    made = small_program(SMALL, devices=jax.devices()[:1])
    assert made.steps_per_epoch == 20
    return made


@pytest.fixture
def program(compiled, monkeypatch):
    """The program with other settings of its training, and a validation that answers with these accuracies in turn."""

    def make(*accuracies, **train):
        experiment = compiled.experiment
        monkeypatch.setattr(
            compiled, "experiment", dataclasses.replace(experiment, train=dataclasses.replace(SMALL.train, **train))
        )
        monkeypatch.setattr(compiled, "evaluate", evaluate if not accuracies else scripted(iter(accuracies)))
        return compiled

    evaluate = compiled.evaluate

    def scripted(given):
        def answer(variables, split):
            found = evaluate(variables, split)
            return found | {"accuracy": next(given)} if split == "validation" else found

        return answer

    return make


def test_it_is_due_at_the_first_call_that_reaches_each_multiple_and_at_every_epochs_end(program, tmp_path):
    called = []
    result = fit(program(evaluate_every=6), 0, tmp_path / "run", on_chunk=called.append)
    expected = [s for before, s in zip([0, *called], called, strict=False) if s // 6 > before // 6 or s % 20 == 0]
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == expected == [8, 12, 20, 24, 32, 36, 40]
    assert [row["epoch"] for row in rows] == [0.4, 0.6, 1, 1.2, 1.6, 1.8, 2]
    assert [type(row["epoch"]) for row in rows if row["epoch"] % 1 == 0] == [int, int]
    best = max(rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert (result["best_epoch"], result["epochs"], result["steps"]) == (best["epoch"], 2, 40)
    assert result["metrics"]["train"]["loss"] == rows[-1]["train_loss"]


@pytest.mark.parametrize(("every", "late"), [(0, False), (2, True), (4, False), (6, False)])
def test_where_a_compiled_call_is_longer_the_start_says_that_validation_waits(program, tmp_path, capsys, every, late):
    """A call takes 4 steps here."""
    print_start(program(evaluate_every=every), 0, tmp_path)
    assert ("give --train.steps-per-call 2" in "".join(capsys.readouterr())) == late


def test_a_run_stopped_within_epochs_and_resumed_is_the_unbroken_run(program, tmp_path):
    """With the plateau schedule, which counts evaluations; every third call stops, at evaluations and elsewhere."""
    made = program(evaluate_every=6)
    fit(made, 0, tmp_path / "unbroken")
    assert fit_with_stops(made, tmp_path / "stopped", 3) >= 2
    assert_identical(outcome(made, tmp_path / "unbroken"), outcome(made, tmp_path / "stopped"))


class Killed(Exception):
    """Stands for a process that ends without a word."""


def test_a_run_killed_after_an_evaluation_that_was_no_better_logs_it_once(program, tmp_path):
    """Only the best is saved; what came after it is made again, and its rows are cut off first."""
    values = [0.5, 0.4, 0.3, 0.6, 0.2, 0.1, 0.7]

    def die(step):
        if step == 16:
            raise Killed

    with pytest.raises(Killed):
        fit(program(*values, evaluate_every=6), 0, tmp_path / "run", on_chunk=die)
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [8]
    fit(program(*values[1:], evaluate_every=6), 0, tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [(row["step"], row["validation_accuracy"]) for row in rows] == list(
        zip([8, 12, 20, 24, 32, 36, 40], values, strict=True)
    )


def test_the_best_checkpoint_may_be_one_of_those(program, tmp_path, monkeypatch):
    made = program(0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, evaluate_every=6)
    seen, evaluate = {}, made.evaluate

    def remember(variables, split):
        found = evaluate(variables, split)
        seen.setdefault(found["accuracy"], jax.tree.map(lambda leaf: leaf.copy(), made.parallel.to_host(variables)))
        return found

    monkeypatch.setattr(made, "evaluate", remember)
    result = fit(made, 0, tmp_path / "run")
    assert (result["best_epoch"], result["metrics"]["validation"]["accuracy"]) == (0.6, 0.9)
    assert 12 in Checkpoints(tmp_path / "run" / "checkpoints").steps()
    assert_identical(load(tmp_path / "run").variables, seen[0.9])


@pytest.mark.slow
def test_patience_counts_evaluations_and_until_ends_within_an_epoch(program, tmp_path, capsys):
    impatient = program(0.5, 0.4, 0.6, 0.5, 0.4, 0.9, evaluate_every=6, patience=2, epochs=5)
    result = fit(impatient, 0, tmp_path / "impatient")
    assert (result["steps"], result["epochs"], result["best_epoch"]) == (32, 1.6, 1)
    assert "stopping early: no better validation accuracy for 2 evaluations" in capsys.readouterr().out
    saved = Checkpoints(WorkDir(tmp_path / "impatient").checkpoints)
    assert saved.latest_step() == 32 and saved.read(32).progress["stale_epochs"] == 2
    (tmp_path / "impatient" / "result.json").unlink()
    fit(impatient, 0, tmp_path / "impatient", on_chunk=lambda step: pytest.fail("it went on"))
    content = program(0.5, 0.6, evaluate_every=6, until=0.55, epochs=5)
    result = fit(content, 0, tmp_path / "content")
    assert (result["until"]["epoch"], result["until"]["examples"]) == (0.6, 12 * 64)
    assert "reached after epoch 0.6, 768 examples" in capsys.readouterr().out


def test_calls_that_take_many_steps_at_once_are_evaluated_once():
    """A call that passes several multiples is one evaluation, and one that passes none is none."""
    from rnnjax.training.loop import Training

    class Here:
        evaluate_every = 3

    training = Training.__new__(Training)
    training._config, training.progress = Here(), type("Progress", (), {"step": 5})()  # pyright: ignore
    mask = lambda steps: Chunk(None, np.zeros((8, 1), int), np.arange(8)[:, None] < steps)  # noqa: E731
    assert [training._evaluation_due(mask(steps)) for steps in (0, 1, 3, 8)] == [False, True, True, True]


def test_a_number_of_steps_below_zero_is_refused(capsys):
    assert cli.main(EXPERIMENT, ["--train.evaluate-every", "-1"]) == 2
    assert "--train.evaluate-every must be 0 or more steps" in capsys.readouterr().err

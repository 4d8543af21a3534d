"""The loop: interrupted runs against unbroken ones, divergence, refusals, and what a finished run leaves."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.imdb_bilstm import EXPERIMENT as IMDB
from experiments.mnist_rows import EXPERIMENT as MNIST
from rnnjax import data
from rnnjax.config import to_json
from rnnjax.errors import Interrupted, RunError, UsageError
from rnnjax.runs.environment import command, environment, without_folders
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.log import read_metrics
from rnnjax.runs.predict import load
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from tests.marks import LONG
from tests.small import CONFIG, TEXT_CONFIG, made_up_texts, small_program, subset


@pytest.fixture(scope="module")
def digits():
    return small_program(devices=jax.devices()[:2])


@pytest.fixture(scope="module")
def texts():
    return small_program(TEXT_CONFIG, made_up_texts(), devices=jax.devices()[:2])


def outcome(program, root):
    """Everything of a finished run that must not depend on interruptions."""
    workdir = WorkDir(root)
    saved, _ = Checkpoints(workdir.checkpoints).newest(program.create_state(0))
    state, progress = saved.state, saved.progress
    timings = ("examples_per_second", "seconds", "input_wait", "step_examples_per_second", "peak_memory_mib")
    rows = [{k: v for k, v in row.items() if k not in timings} for row in read_metrics(workdir.metrics)]
    host = [progress[name] for name in ("best", "stale_epochs", "plateau_epochs", "learning_rate_scale")]
    return state, rows, host, workdir.finished()["metrics"]


def assert_identical(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def fit_with_stops(program, root, every):
    """Fits, stopped by SIGTERM or SIGINT at every ``every``-th chunk of each session, and resumed; counts stops."""
    stops, numbers = 0, (signal.SIGTERM, signal.SIGINT)
    while True:
        seen, number = [], numbers[stops % 2]

        def stop(step, seen=seen, number=number):
            seen.append(step)
            if len(seen) == every:
                os.kill(os.getpid(), number)

        try:
            fit(program, 0, root, on_chunk=stop)
            return stops
        except Interrupted as stopped:
            assert stopped.exit_code == 128 + number
            stops += 1
            assert stops < 50


@pytest.fixture(scope="module")
def plateau():
    """A rate too low to learn by: validation gets no better, and the learning rate falls twice."""
    optim = dataclasses.replace(CONFIG.optim, schedule="plateau", learning_rate=1e-8, plateau_patience=1)
    train = dataclasses.replace(CONFIG.train, epochs=4, steps_per_call=10)
    return small_program(dataclasses.replace(CONFIG, optim=optim, train=train), devices=jax.devices()[:2])


@pytest.mark.always
@pytest.mark.parametrize(
    ("kind", "every"),
    [("digits", 3), pytest.param("texts", 1, marks=pytest.mark.slow), pytest.param("plateau", 3, marks=LONG)],
)
def test_a_run_stopped_at_chunks_and_resumed_is_the_unbroken_run(kind, every, tmp_path, request):
    program = request.getfixturevalue(kind)
    fit(program, 0, tmp_path / "unbroken")
    assert fit_with_stops(program, tmp_path / "stopped", every) >= 2
    assert_identical(outcome(program, tmp_path / "unbroken"), outcome(program, tmp_path / "stopped"))


def test_the_learning_rate_falls_when_validation_gets_no_better(plateau, tmp_path):
    fit(plateau, 0, tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    scale, best = 1.0, None
    for row in rows:
        assert row["learning_rate"] == pytest.approx(1e-8 * scale, rel=1e-5)
        value = (row["validation_accuracy"], -row["validation_loss"])
        if best is not None and value <= best:
            scale = max(0.1 * scale, 1e-3)
        best = value if best is None else max(best, value)
    assert scale < 1, "nothing was reduced, so nothing was tested"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("experiment", [MNIST, IMDB], ids=lambda e: e.name)
def test_real_data_stopped_and_resumed_with_dropout(experiment, tmp_path, tfds_dir):
    del tfds_dir
    config = dataclasses.replace(
        experiment.config,
        data=dataclasses.replace(experiment.config.data, batch_size=64),
        model=dataclasses.replace(experiment.config.model, features=(8,)),
        train=dataclasses.replace(experiment.config.train, epochs=2, steps_per_call=3),
    )
    assert config.model.dropout > 0
    program = small_program(config, subset(data.load(config.data), 640, 100), devices=jax.devices()[:2])
    fit(program, 0, tmp_path / "unbroken")
    seen = []

    def stop(step):
        seen.append(step)
        if len(seen) in (1, 4):
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in range(2):
        with pytest.raises(Interrupted):
            fit(program, 0, tmp_path / "stopped", on_chunk=stop)
    fit(program, 0, tmp_path / "stopped")
    assert_identical(outcome(program, tmp_path / "unbroken"), outcome(program, tmp_path / "stopped"))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(digits, tmp_path, monkeypatch):
    train, poisoned_step = digits.train, digits.steps_per_epoch + 6

    def poisoned(state, fed, scale):
        before = int(state.step)
        state, sums = train(state, fed, scale)
        if before <= poisoned_step < before + fed.chunk.steps:
            sums = sums | {"loss": sums["loss"].at[poisoned_step - before].set(np.nan)}
            state = state.replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))
        return state, sums

    monkeypatch.setattr(digits, "train", poisoned)
    with pytest.raises(
        RunError, match=rf"loss became NaN or infinite at step {poisoned_step} \(learning rate [0-9.e-]+\)"
    ):
        fit(digits, 0, tmp_path / "run")
    saved, _ = Checkpoints(WorkDir(tmp_path / "run").checkpoints).newest(digits.create_state(0))
    assert saved.progress["step"] == digits.steps_per_epoch
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(saved.state.params))


def test_a_diverging_run_says_so(tmp_path):
    optim = dataclasses.replace(
        CONFIG.optim, optimizer="sgd", learning_rate=1e38, schedule="constant", clip_norm=0.0, ema_decay=0.0
    )
    program = small_program(dataclasses.replace(CONFIG, optim=optim), devices=jax.devices()[:1])
    with pytest.raises(RunError, match=r"became NaN or infinite at step \d+ \(learning rate 1e\+38\)"):
        fit(program, 0, tmp_path / "run")


def test_a_folder_of_another_run_is_refused_and_left_alone(digits, tmp_path):
    root = tmp_path / "run"
    fit(digits, 0, root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    other = small_program(
        dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, epochs=3, save_minutes=99)),
        digits.dataset,
        devices=jax.devices()[:1],
    )
    with pytest.raises(UsageError, match=r"train.epochs: 3, not 2") as refused:
        fit(other, 0, root)
    assert "save_minutes" not in str(refused.value)
    with pytest.raises(UsageError, match="seed: 1, not 0"):
        fit(digits, 1, root)
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_parameters_that_are_not_finite_are_never_saved_although_the_losses_were(digits, tmp_path, monkeypatch):
    train = digits.train

    def poisoned(state, fed, scale):
        state, sums = train(state, fed, scale)
        last = int(state.step) == digits.total_steps
        return (state.replace(params=jax.tree.map(lambda p: p * np.nan, state.params)) if last else state), sums

    monkeypatch.setattr(digits, "train", poisoned)
    with pytest.raises(RunError, match="parameters became NaN or infinite"):
        fit(digits, 0, tmp_path / "run")
    saved, _ = Checkpoints(WorkDir(tmp_path / "run").checkpoints).newest(digits.create_state(0))
    assert saved.progress["epoch"] == 1


def test_data_that_have_changed_are_refused_and_the_preprocessing_is_kept(digits, tmp_path):
    root = tmp_path / "run"
    fit(digits, 0, root)
    before = (root / "preprocess.json").read_bytes()
    shifted = dataclasses.replace(digits.dataset.preprocess, mean=(0.25,))
    other = small_program(CONFIG, dataclasses.replace(digits.dataset, preprocess=shifted), devices=jax.devices()[:2])
    with pytest.raises(UsageError, match="trained on other data"):
        fit(other, 0, root)
    assert (root / "preprocess.json").read_bytes() == before


def test_a_folder_with_something_else_in_it_is_never_deleted(digits, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(UsageError, match="no run"):
            fit(digits, 0, tmp_path, fresh=fresh)
    (tmp_path / "config.json").write_text('{"a": "program of somebody else"}')
    for fresh in (False, True):
        with pytest.raises(UsageError, match="not a readable configuration"):
            fit(digits, 0, tmp_path, fresh=fresh)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_finished_run_returns_its_result_and_fresh_starts_over(digits, tmp_path):
    steps = []
    first = fit(digits, 0, tmp_path / "run", on_chunk=steps.append)
    taken = len(steps)
    assert fit(digits, 0, tmp_path / "run", on_chunk=steps.append) == first
    assert len(steps) == taken
    again = fit(digits, 0, tmp_path / "run", fresh=True, on_chunk=steps.append)
    assert len(steps) == 2 * taken
    assert again["metrics"] == first["metrics"]


def test_a_search_leaves_the_test_split_alone_until_it_is_asked_for(digits, tmp_path, monkeypatch):
    looked_at, steps = [], []
    for name in ("evaluate", "evaluate_keeping"):
        run = getattr(digits, name)
        monkeypatch.setattr(digits, name, lambda v, split, run=run: looked_at.append(split) or run(v, split))
    asked = digits.experiment
    searching = dataclasses.replace(asked, train=dataclasses.replace(asked.train, test=False))
    monkeypatch.setattr(digits, "experiment", searching)
    monkeypatch.setattr("rnnjax.runs.environment._commit", lambda: "earlier")
    found = fit(digits, 0, tmp_path, on_chunk=steps.append)
    assert "test" not in looked_at
    assert found["metrics"]["test"] is None
    assert json.loads((tmp_path / "report-validation.json").read_text())["accuracy"] == pytest.approx(
        found["metrics"]["validation"]["accuracy"], abs=1e-7
    )
    assert fit(digits, 0, tmp_path, on_chunk=steps.append) == found
    monkeypatch.setattr(digits, "experiment", asked)
    taken = len(steps)
    monkeypatch.setattr("rnnjax.runs.environment._commit", lambda: "later")
    tested = fit(digits, 0, tmp_path, on_chunk=steps.append)
    assert len(steps) == taken, "what was trained is not trained again"
    assert looked_at[-1] == "test"
    assert (found["commit"], found["continued"]) == ("earlier", [])
    assert tested["commit"] == "earlier", "that of what was trained"
    assert [session["commit"] for session in tested["continued"]] == ["later"]
    assert tested["metrics"]["validation"] == found["metrics"]["validation"]
    assert tested["metrics"]["test"] == digits.evaluate(load(tmp_path).variables, "test")


def test_a_result_file_tells_the_command_without_the_folders_of_the_machine(monkeypatch):
    arguments = [
        "train",
        "--runs-dir",
        "/home/me/runs",
        "--data.data-dir=/data/a=b/tfds",
        "--until-accuracy",
        "0.9",
        "a/b",
    ]
    monkeypatch.setattr("sys.argv", ["program", *arguments])
    told = environment()["command"]
    assert told.endswith("train --runs-dir runs --data.data-dir=tfds --until-accuracy 0.9 a/b")
    assert command().endswith(" ".join(arguments)), "a user is told the command that runs again"
    config = to_json(dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, data_dir="/home/me/tfds")))
    assert without_folders(config)["data"] == config["data"] | {"data_dir": "tfds"}
    given = ["--runs-dir=/a/b", "forwards=/a/lm/seed-0", "backwards=/a/c:latest", "embed=0.5", "1=/x y/z", "a=b/c"]
    kept = ["--runs-dir=b", "forwards=seed-0", "backwards=c:latest", "embed=0.5", "1=z", "a=b/c"]
    assert without_folders(given) == kept


def test_the_command_of_a_script_of_ones_own_runs_again_as_it_is(tmp_path, monkeypatch):
    script = tmp_path / "my folder" / "mine.py"
    script.parent.mkdir()
    program = "from rnnjax.runs.environment import command\nprint(command(), command(False), sep='\\n')\n"
    script.write_text(program)
    monkeypatch.chdir(tmp_path)
    for where in ("my folder/mine.py", str(script)):
        given = [sys.executable, where, "--seeds", "3"]
        done = subprocess.run(
            given, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        )
        assert done.stdout.splitlines() == ["python 'my folder/mine.py' --seeds 3", "python mine.py --seeds 3"], done


def test_what_a_finished_run_leaves_behind(digits, tmp_path, monkeypatch):
    evaluate, looked_at = digits.evaluate, []
    for name in ("evaluate", "evaluate_keeping"):
        run = getattr(digits, name)
        monkeypatch.setattr(digits, name, lambda v, split, run=run: looked_at.append(split) or run(v, split))
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1000")
    root = tmp_path / "run"
    result = fit(digits, 0, root)
    assert looked_at == ["validation", "validation", "test"], "training reads the test split once, at its end"
    assert json.loads((root / "result.json").read_text()) == result
    for key in ("command", "commit", "config", "seed", "versions", "device", "parameters", "epochs", "metrics"):
        assert result[key] is not None or key == "commit", key
    assert result["implementations"] == {"recurrent/layers_0": "fused", "recurrent/layers_1": "fused"}
    assert result["compilation_cache"] == "off"
    assert result["malloc"] == {"MALLOC_TOP_PAD_": "1000"}
    assert 0 < result["seconds"]["initialize"] < result["seconds"]["first_step"]
    assert 0 < result["seconds"]["first_step"] <= result["seconds"]["wall"]
    assert list((root / "tensorboard").glob("events.out.tfevents.*"))
    assert (root / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (root / "confusion-test.png").read_bytes().startswith(b"\x89PNG")
    by_class = json.loads((root / "report-test.json").read_text())
    assert by_class["accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"], abs=1e-7)
    assert result["report"] == {name: by_class[name] for name in ("macro_f1", "weighted_f1")}
    assert len(list((root / "samples").glob("*.png"))) == 5
    rows = read_metrics(root / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2]
    best = max(rows, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))
    assert result["best_epoch"] == best["epoch"]
    assert evaluate(load(root).variables, "test") == result["metrics"]["test"]


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    config = dataclasses.replace(
        CONFIG,
        optim=dataclasses.replace(CONFIG.optim, learning_rate=1e-30),
        train=dataclasses.replace(CONFIG.train, epochs=9, patience=2),
    )
    result = fit(small_program(config, devices=jax.devices()[:1]), 0, tmp_path / "run")
    assert result["epochs"] < 9
    assert result["epochs"] - result["best_epoch"] == 2


def test_until_accuracy_stops_where_validation_first_reaches_it(digits, tmp_path, capsys):
    accuracies = [0.2, 0.45, 0.5, 0.6]
    train = dataclasses.replace(CONFIG.train, epochs=4, until=0.5)
    program = small_program(dataclasses.replace(CONFIG, train=train), digits.dataset, devices=jax.devices()[:1])
    evaluate, calls = program.evaluate, []

    def scripted(variables, split):
        calls.append(split)
        values = evaluate(variables, split)
        return values | {"accuracy": accuracies[len(calls) - 1]} if split == "validation" else values

    program.evaluate = scripted
    result = fit(program, 0, tmp_path / "run")
    assert result["epochs"] == 3
    until = result["until"]
    assert (until["metric"], until["value"]) == ("accuracy", 0.5)
    assert until["reached"] is True
    assert until["epoch"] == 3
    assert until["examples"] == 3 * program.steps_per_epoch * 64
    assert until["compile_seconds"] > 0
    assert 0 < until["seconds"] < result["seconds"]["wall"] - until["compile_seconds"]
    assert "validation accuracy 50.00%: 50.00% reached after epoch 3, 3,840 examples and" in capsys.readouterr().out


def test_a_run_stopped_after_reaching_its_accuracy_does_not_go_on(tmp_path):
    train = dataclasses.replace(CONFIG.train, epochs=3, until=1e-9)
    program = small_program(dataclasses.replace(CONFIG, train=train), devices=jax.devices()[:1])
    stop_at = program.steps_per_epoch

    def stop(step):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(program, 0, tmp_path / "run", on_chunk=stop)
    result = fit(program, 0, tmp_path / "run", on_chunk=lambda step: pytest.fail("it went on"))
    assert result["epochs"] == 1
    assert result["until"]["examples"] == stop_at * 64


def test_a_lost_checkpoint_is_an_error_that_names_it(digits, tmp_path):
    root = tmp_path / "run"

    seen = []

    def stop(step):
        seen.append(step)
        if len(seen) == 1:  # a second signal would end the process at once
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(digits, 0, root, on_chunk=stop)
    for path in (root / "checkpoints").rglob("*"):
        if path.is_file() and "state" in path.parts and path.name != "_METADATA":
            path.write_bytes(b"broken")
    with pytest.raises(RunError, match=r"step \d+: its state cannot be read"):
        fit(digits, 0, root)

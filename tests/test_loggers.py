"""Loggers: what they are told, TensorBoard's files read back, a W&B that is made up, and one that fails."""

import dataclasses
import json
import logging
import math
import struct
import sys
import types

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax import cli
from rnnjax.errors import Interrupted, RunError, UsageError
from rnnjax.runs.fitting import run
from rnnjax.runs.log import read_metrics
from rnnjax.runs.loggers import Guarded, TensorBoard
from rnnjax.training.runner import Runner
from tests.test_fit import EXPERIMENT, stopping_at


@pytest.fixture(scope="module")
def compiled():
    """Calls of 4 steps, 16 steps an epoch; compiled once for all tests."""
    return Runner(EXPERIMENT, EXPERIMENT.data.load(), jax.devices()[:1])


@pytest.fixture
def program(compiled, monkeypatch):
    """The program with other logs, and with other settings of its training."""

    def make(*names, **train):
        monkeypatch.setattr(compiled, "experiment", logging_to(*names, **train))
        return compiled

    return make


def logging_to(*names, **train):
    return dataclasses.replace(EXPERIMENT, train=dataclasses.replace(EXPERIMENT.train, log=names, **train))


class Kept:
    """A logger of one's own."""

    def __init__(self):
        self.rows, self.closed = [], 0

    def scalars(self, step, values):
        self.rows.append({"step": step, **values})

    def close(self):
        self.closed += 1


class Failing(Kept):
    """Its service is gone after the first row."""

    def scalars(self, step, values):
        super().scalars(step, values)
        if len(self.rows) > 1:
            raise ConnectionError("the service is gone\nand a traceback of it")

    def close(self):
        super().close()
        raise ConnectionError("still gone")


def test_a_logger_of_ones_own_is_told_what_the_log_holds_and_closed_once(tmp_path, monkeypatch):
    devices = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: devices)
    kept = Kept()
    result = rnnjax.fit(logging_to(), workdir=tmp_path / "run", loggers=[kept])
    known = [{name: value for name, value in row.items() if value is not None} for row in result.history]
    assert kept.rows == known and [row["epoch"] for row in known] == [1, 2] and kept.closed == 1
    assert all(isinstance(value, float | int) for row in kept.rows for value in row.values())
    assert not (tmp_path / "run" / "tensorboard").exists(), "it was not asked for"


def test_a_logger_that_fails_costs_one_note_and_no_training(program, tmp_path, capsys):
    failing, kept = Failing(), Kept()
    run(program(evaluate_every=4), 0, tmp_path / "run", loggers=[failing, kept])
    said = capsys.readouterr().err
    assert said.count("the log of Failing cannot be written (the service is gone); the training goes on") == 1
    assert said.count("note:") == 1 and "traceback" not in said
    assert len(failing.rows) == 2 and failing.closed == 1
    assert len(kept.rows) == len(read_metrics(tmp_path / "run" / "metrics.jsonl")) > 2 and kept.closed == 1


def test_a_logger_is_closed_where_the_training_is_stopped(program, tmp_path):
    kept = Kept()
    with pytest.raises(Interrupted):
        run(program(), 0, tmp_path / "run", loggers=[kept], on_chunk=stopping_at(2))
    assert kept.closed == 1


@pytest.mark.parametrize("none", [print, Kept, None])
def test_what_is_no_logger_is_refused_before_anything(none):
    with pytest.raises(UsageError, match=r"a logger has scalars\(step, values\) and close\(\), got"):
        rnnjax.fit(logging_to(), loggers=[none])


@pytest.mark.parametrize("none", [None, Kept(), iter([Kept()]), "tensorboard"])
def test_what_is_no_list_of_loggers_is_refused_before_anything(none):
    """Of an iterator nothing would be left once its loggers are looked at, and none of them would be told anything."""
    with pytest.raises(UsageError, match=r"loggers must be a list of loggers, such as \[logger\], got"):
        rnnjax.fit(logging_to(), loggers=none)


def written(folder) -> dict[tuple[str, int], float]:
    """What TensorBoard's event files hold, read record by record by the format's own definition (TFRecord)."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            at += 12 + length + 4
    return found


def test_tensorboard_is_told_what_is_finite_and_warns_of_nothing(tmp_path, caplog):
    board = TensorBoard(tmp_path)
    with caplog.at_level(logging.WARNING):
        board.scalars(7, {"epoch": 0.5, "train_loss": 1.5, "validation_loss": math.nan, "learning_rate": math.inf})
        board.scalars(9, {"epoch": 1, "train_loss": math.nan, "validation_loss": 2.5})
        board.close()
    assert not caplog.records
    assert written(tmp_path) == {("train/loss", 7): 1.5, ("validation/loss", 9): 2.5}


def test_closing_a_log_to_which_nothing_was_written_makes_no_file(tmp_path):
    TensorBoard(tmp_path / "events").close()
    assert not (tmp_path / "events").exists()


class FakeRun:
    def __init__(self):
        self.logged, self.finished = [], 0

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    """A module that stands for wandb; it keeps how each run was started."""
    fake = types.ModuleType("wandb")
    fake.started, fake.runs = [], []  # pyright: ignore

    def init(**given):
        fake.started.append(given)
        fake.runs.append(FakeRun())
        return fake.runs[-1]

    fake.init = init  # pyright: ignore
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


def test_wandb_is_told_every_row_and_a_resumed_run_is_the_same_run_there(wandb, program, tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        run(program("wandb"), 0, tmp_path / "run", on_chunk=stopping_at(6))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    result = run(program("wandb"), 0, tmp_path / "run")
    first, second = wandb.started
    assert first["project"] == "small" and "project" not in second, "the environment's goes first"
    assert first["id"] == second["id"] == result["run"] and first["resume"] == second["resume"] == "allow"
    assert first["name"] == "small-seed-0" and first["dir"] == str(tmp_path / "run")
    assert first["config"]["train"]["epochs"] == 2 and first["config"]["seed"] == 0
    json.dumps(first["config"])
    logged = [row for there in wandb.runs for row in there.logged]
    assert [(step, values["epoch"]) for step, values in logged] == [(16, 1), (32, 2)]
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [values["validation_loss"] for _, values in logged] == [row["validation_loss"] for row in rows]
    assert [there.finished for there in wandb.runs] == [1, 1]


def test_a_wandb_that_does_not_start_is_one_sentence_before_the_training(wandb, program, tmp_path):
    def refused(**given):
        raise ValueError("api_key not configured\nmore")

    wandb.init = refused
    with pytest.raises(RunError, match=r"Weights & Biases does not start \(api_key not configured\); log in"):
        run(program("wandb"), 0, tmp_path / "run", on_chunk=lambda step: pytest.fail("it trained"))


def test_a_wandb_that_is_not_installed_is_one_sentence_before_data_are_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("rnnjax.data.load", lambda section: pytest.fail("data were read"))
    assert cli.main(EXPERIMENT, ["--train.log", "wandb", "--runs-dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == "error: --train.log wandb needs the package wandb, which is not installed: pip install wandb\n"
    assert not list(tmp_path.iterdir())


def test_another_log_is_no_other_run(program, tmp_path):
    """It may change when a run is resumed, and a typo of it names the nearest."""
    with pytest.raises(Interrupted):
        run(program("tensorboard"), 0, tmp_path / "run", on_chunk=stopping_at(6))
    assert ("train/loss", 16) in written(tmp_path / "run" / "tensorboard")
    assert run(program(), 0, tmp_path / "run")["sessions"] == 2
    assert len(read_metrics(tmp_path / "run" / "metrics.jsonl")) == 2
    with pytest.raises(UsageError, match=r"--train\.log must be some of tensorboard, wandb"):
        logging_to("tensorbord")


def test_what_a_failed_logger_still_raises_is_kept_to_itself(capsys):
    guarded = Guarded(Failing(), "it")
    for step in range(4):
        guarded.scalars(step, {"loss": np.float64(step)})
    guarded.close()
    assert capsys.readouterr().err.count("note:") == 1

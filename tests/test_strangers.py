"""Experiments of parts that the package does not know: trained, stopped, resumed, loaded, on one device and on two."""

import dataclasses
import functools
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import rnnjax
from rnnjax import data
from rnnjax.errors import Interrupted
from rnnjax.runs.fitting import run
from rnnjax.runs.log import read_metrics
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from tests import strangers
from tests.marks import LONG, often
from tests.strangers import own_cell
from tests.toy import assert_close

FOLDER = Path(strangers.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
NAMES = [*MODULES, "own_cell-by-hand"]
each_module = pytest.mark.parametrize("name", MODULES)
# What a run's kind changes shows with ragged arrays, a task of one's own and a carry; the other strangers are slow.
FAST = ("ragged", "own_metric", "language_model")
# A cell and a source of one's own are a run like any other to devices and checkpoints: .ci/all looks at these.
LONGEST = ("own_cell", "own_cell-by-hand", "own_source")
some_strangers = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in FAST else LONG[: 1 + (n in LONGEST)]) for n in NAMES],
)
each_stranger = pytest.mark.parametrize("name", NAMES)


def module(name: str) -> Any:
    return importlib.import_module(f"tests.strangers.{name.partition('-')[0]}")


def experiment(name: str) -> rnnjax.Experiment:
    variant = name.partition("-")[2]
    return module(name).EXPERIMENT.variant(variant) if variant else module(name).EXPERIMENT


class Other(own_cell.ByHand):
    """The same parameters in a class of another name."""


@functools.cache
def program(name: str, devices: int = 2) -> Runner:
    return Runner(experiment(name), data.load(experiment(name).data), jax.devices()[:devices])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """From a stranger's name to the folder of its finished run, which is trained when first asked for."""
    folder = tmp_path_factory.mktemp("strangers")

    @functools.cache
    def of(name: str) -> Path:
        run(program(name), 0, folder / name)
        return folder / name

    return of


def outcome(name: str, root: Path) -> Any:
    """What must not depend on interruptions: the last state, the epochs' metrics, and the result's."""
    saved, _ = Checkpoints(root / "checkpoints").newest(program(name).create_state(0))
    assert saved is not None
    rows = [
        {k: v for k, v in row.items() if k.startswith(("train_", "val", "step"))}
        for row in read_metrics(root / "metrics.jsonl")
    ]
    rows = [{k: v for k, v in row.items() if k != "step_examples_per_second"} for row in rows]
    return saved.state, rows, json.loads((root / "result.json").read_text())["metrics"]


@each_module
def test_a_stranger_writes_at_most_sixty_lines_of_public_names(name):
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "._" not in text, "a private name"


@pytest.mark.parametrize("name", often(NAMES, FAST))
def test_it_beats_what_needs_no_model(name, finished):
    result, metric = rnnjax.fit(experiment(name), workdir=finished(name)), experiment(name).task.headline
    assert result.headline == (result.metrics["test"] or {})[metric.name]
    assert metric.score(result.headline) > metric.score(module(name).BAR)
    assert len(result.history) == experiment(name).train.epochs
    assert all(np.isfinite(row[f"validation_{metric.name}"]) for row in result.history)


@some_strangers
def test_stopped_in_the_middle_and_resumed_it_is_the_unbroken_run(name, finished, tmp_path):
    stopped = 0
    while True:
        calls = []

        def stop(step, calls=calls):
            calls.append(step)
            if len(calls) == 7:
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            run(program(name), 0, tmp_path / "run", on_chunk=stop)
            break
        except Interrupted:
            stopped += 1
            assert stopped < 20
    assert stopped >= 2
    ours, theirs = outcome(name, tmp_path / "run"), outcome(name, finished(name))
    assert ours[1:] == theirs[1:]
    for a, b in zip(jax.tree.leaves(ours[0]), jax.tree.leaves(theirs[0]), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


_LOADED = """
import pickle, sys, rnnjax
from tests.test_strangers import experiment, module
folders = pickle.load(sys.stdin.buffer)
answers = {}
for name, folder in folders.items():
    predictor = rnnjax.load(folder, experiment=experiment(name))
    answers[name] = predictor(module(name).ASK), predictor.logits(module(name).ASK)
sys.stdout.buffer.write(pickle.dumps(answers))
"""


@pytest.mark.slow
def test_each_is_loaded_in_a_fresh_process_and_answers_the_same(finished):
    folders = {name: str(finished(name)) for name in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], input=pickle.dumps(folders), capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    answers = pickle.loads(done.stdout)
    for name in NAMES:
        predictor = rnnjax.fit(experiment(name), workdir=folders[name]).predictor
        theirs, logits = answers[name]
        assert len(theirs) == 5
        np.testing.assert_allclose(logits, predictor.logits(module(name).ASK), atol=1e-6)
        ours = predictor(module(name).ASK)
        if isinstance(ours, list):  # of each row's steps
            assert theirs == ours
        elif ours.dtype.kind == "f":
            np.testing.assert_allclose(theirs, ours, rtol=1e-5)
        else:
            np.testing.assert_array_equal(theirs, ours)


@pytest.mark.slow
@some_strangers
def test_two_devices_train_and_evaluate_as_one(name):
    states, sums, metrics = [], [], []
    for devices in (1, 2):
        made = program(name, devices)
        state = made.place(program(name).create_state(1))
        chunks = made.train_plan(seed=0, epoch=0)[:3]
        for fed in made.feed_training(chunks, 0):
            state, last = made.train(state, fed)
            sums.append(made.parallel.to_host(last))
        states.append(made.on_host(state))
        metrics.append(made.evaluate(states[0].variables(), "test"))
    assert_close(states[1].params, states[0].params)
    assert_close(sums[len(sums) // 2 :], sums[: len(sums) // 2])
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-5)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), states[0].params, program(name).create_state(1).params)
    assert max(jax.tree.leaves(moved)) > 1e-3, "what did not learn proves nothing"


def test_a_folder_needs_the_strangers_own_parts_and_says_so(finished):
    for name, part in (
        ("ragged", "module"),
        ("own_metric", "task"),
        ("own_source", "experiment"),
        ("own_cell", "class"),
    ):
        with pytest.raises(rnnjax.RnnjaxError, match=part):
            rnnjax.load(finished(name))


def test_another_module_is_another_run(finished):
    other = dataclasses.replace(experiment("own_cell-by-hand"), model=Other())
    with pytest.raises(rnnjax.UsageError, match=r"Other.*ByHand"):
        rnnjax.fit(other, workdir=finished("own_cell-by-hand"))
    for theirs in (other, experiment("own_cell")):
        with pytest.raises(rnnjax.UsageError, match="with another module"):
            rnnjax.load(finished("own_cell-by-hand"), experiment=theirs)


@pytest.mark.parametrize("raw", [["ACGU"], ["A", ""]])
def test_a_preprocessing_of_ones_own_refuses_in_its_own_words(raw, finished):
    predictor = rnnjax.load(finished("own_source"), experiment=experiment("own_source"))
    with pytest.raises(rnnjax.DataError, match="is no strand of ACGT"):
        predictor(raw)


def test_another_task_or_optimizer_is_another_run_and_named(finished):
    task = dataclasses.replace(experiment("own_metric"), task=module("own_metric").Alarms(alarm=2.0))
    with pytest.raises(rnnjax.UsageError, match=r"task\.fields\.alarm: "):
        rnnjax.fit(task, workdir=finished("own_metric"))
    optim = dataclasses.replace(experiment("ragged"), optim=optax.adam(1e-3))
    with pytest.raises(rnnjax.UsageError, match=r"\n  optim\."):
        rnnjax.fit(optim, workdir=finished("ragged"))

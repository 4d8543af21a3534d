"""``rnnjax.fit`` in a notebook, in a thread, twice in a process; and beside the command line: one and the same run."""

import asyncio
import dataclasses
import io
import json
import os
import signal
import sys
import tempfile
import threading
from typing import Any

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax import cli
from rnnjax.errors import Interrupted
from rnnjax.training.checkpoint import Checkpoints
from tests.strangers.own_cell import ASK, TEST, ByHand, X, Y

EXPERIMENT = rnnjax.Experiment(
    name="small",
    data=rnnjax.Arrays(X, Y, test=TEST, validation_fraction=0.2, batch_size=16),
    model=rnnjax.ImageModel(features=(4,), dropout=0.2),
    optim=rnnjax.OptimConfig(learning_rate=1e-2, ema_decay=0.9),
    train=rnnjax.TrainConfig(epochs=2, steps_per_call=4),
)
NONE: Any = {"data": X}
TIMES = (
    *("command", "seconds", "examples_per_second", "finished", "run", "compilation_cache", "digest"),
    *("input_wait", "peak_memory"),
)


@pytest.fixture(autouse=True)
def _two_devices(monkeypatch):
    """As few as a test needs: what is compiled for eight takes longer."""
    devices = jax.local_devices()[:2]
    monkeypatch.setattr(jax, "local_devices", lambda *_, **__: devices)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        devices = jax.local_devices()[:2]
        patch.setattr(jax, "local_devices", lambda *_, **__: devices)
        rnnjax.fit(EXPERIMENT, workdir=folder)
    return folder


def stopping_at(call: int, number: int = signal.SIGINT):
    """What asks the run to stop at its so many-th call, as the interrupt button of a notebook does."""
    seen: list[int] = []

    def on_chunk(step: int) -> None:
        seen.append(step)
        if len(seen) == call:
            os.kill(os.getpid(), number)

    return on_chunk


def assert_same_training(ours, theirs):
    """Equal checkpoints, bit for bit, and equal metrics."""
    states = [Checkpoints(root / "checkpoints") for root in (ours, theirs)]
    assert states[0].steps() == states[1].steps() != []
    for step in states[0].steps():
        saved = [checkpoints.read(step) for checkpoints in states]
        for a, b in zip(*(jax.tree.leaves(one.state) for one in saved), strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert len({json.dumps(json.loads((root / "result.json").read_text())["metrics"]) for root in (ours, theirs)}) == 1


def assert_same_run(ours, theirs):
    """The same trainings, and equal results but for times."""
    assert_same_training(ours, theirs)
    results = [json.loads((root / "result.json").read_text()) for root in (ours, theirs)]
    kept = [{name: value for name, value in result.items() if name not in TIMES} for result in results]
    assert kept[0] == kept[1]
    assert set(results[0]) == set(results[1]) and "metrics" in kept[0]


@pytest.mark.always
def test_it_returns_what_the_run_found(whole):
    result = rnnjax.fit(EXPERIMENT, workdir=whole)
    assert result.record == json.loads((whole / "result.json").read_text())
    assert result.headline == (result.metrics["test"] or {})["accuracy"]
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert list(result.predictor(ASK)) == list(rnnjax.load(whole)(ASK))
    assert result.workdir == whole and "test" in repr(result)


def test_the_command_line_and_fit_make_one_run(whole, tmp_path):
    assert rnnjax.main(EXPERIMENT, ["--runs-dir", str(tmp_path)]) == 0
    assert_same_run(tmp_path / "small" / "seed-0", whole)


def test_what_fit_began_the_command_line_ends(whole, tmp_path):
    with pytest.raises(Interrupted):
        rnnjax.fit(EXPERIMENT, workdir=tmp_path / "small" / "seed-0", on_chunk=stopping_at(2))
    assert rnnjax.main(EXPERIMENT, ["--runs-dir", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "small" / "seed-0" / "result.json").read_text())
    assert result["sessions"] == 2
    assert result["metrics"] == json.loads((whole / "result.json").read_text())["metrics"]


def test_options_of_a_command_line_are_fields_of_the_sections(tmp_path):
    longer = dataclasses.replace(EXPERIMENT, train=dataclasses.replace(EXPERIMENT.train, epochs=1))
    assert rnnjax.main(EXPERIMENT, ["--runs-dir", str(tmp_path), "--train.epochs", "1", "--seeds", "3"]) == 0
    rnnjax.fit(longer, seed=3, workdir=tmp_path / "run")
    assert_same_run(tmp_path / "small" / "seed-3", tmp_path / "run")


def test_interrupted_it_raises_what_was_saved_and_the_same_call_resumes(whole, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"stopped by SIGINT after step 12 of 32; everything is saved"):
        rnnjax.fit(EXPERIMENT, workdir=tmp_path / "run", on_chunk=stopping_at(2))
    assert signal.getsignal(signal.SIGINT) is before, "the notebook's own handler is back"
    assert not (tmp_path / "run" / "result.json").exists()
    result = rnnjax.fit(EXPERIMENT, workdir=tmp_path / "run")
    assert result.record["sessions"] == 2
    assert result.metrics == rnnjax.fit(EXPERIMENT, workdir=whole).metrics


def test_without_a_folder_nothing_is_left_and_an_interruption_says_so(tmp_path, monkeypatch):
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(Interrupted, match=r"stopped by SIGINT; nothing of the run is kept") as stopped:
        rnnjax.fit(EXPERIMENT, on_chunk=stopping_at(2))
    assert "saved" not in str(stopped.value) and stopped.value.exit_code == 130
    optim = rnnjax.OptimConfig(optimizer="sgd", learning_rate=1e38, schedule="constant", clip_norm=0.0)
    with pytest.raises(rnnjax.RunError, match=r"became NaN or infinite.*; nothing of the run is kept"):
        rnnjax.fit(dataclasses.replace(EXPERIMENT, optim=optim))
    result = rnnjax.fit(EXPERIMENT)
    assert result.workdir is None
    assert len(result.predictor(ASK)) == 5
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "temporary"]


class Output(io.StringIO):
    """A notebook's: no terminal and no file of the process."""

    def isatty(self) -> bool:
        return False


def test_in_a_notebook_with_a_running_event_loop(whole, tmp_path, monkeypatch):
    output = Output()
    monkeypatch.setattr(sys, "stdout", output)

    async def cell() -> rnnjax.Result:
        ticks: list[int] = []
        with pytest.raises(Interrupted):
            rnnjax.fit(EXPERIMENT, workdir=tmp_path / "run", on_chunk=stopping_at(2))
        asyncio.get_running_loop().call_soon(ticks.append, 1)
        result = rnnjax.fit(EXPERIMENT, workdir=tmp_path / "run")
        loaded = rnnjax.load(tmp_path / "run")
        np.testing.assert_array_equal(loaded.logits(ASK), result.predictor.logits(ASK))
        await asyncio.sleep(0)
        assert ticks == [1], "the notebook's loop goes on"
        return result

    result = asyncio.run(cell())
    assert result.metrics == rnnjax.fit(EXPERIMENT, workdir=whole).metrics
    assert "epoch 2/2" in output.getvalue() and "\x1b" not in output.getvalue()


def test_in_a_thread_that_is_not_the_main_one(whole, tmp_path):
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(rnnjax.fit(EXPERIMENT, workdir=tmp_path / "run"))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(results[0], rnnjax.Result), results[0]
    assert_same_run(tmp_path / "run", whole)


def test_again_in_one_process_with_other_parts(whole, tmp_path):
    """The second is no continuation of the first, and neither disturbs the other."""
    by_hand = dataclasses.replace(EXPERIMENT, model=ByHand())
    first = rnnjax.fit(by_hand, workdir=tmp_path / "hand")
    again = rnnjax.fit(EXPERIMENT, workdir=tmp_path / "again")
    assert first.metrics != again.metrics
    assert_same_run(tmp_path / "again", whole)
    steps: list[int] = []
    assert rnnjax.fit(EXPERIMENT, workdir=tmp_path / "again", on_chunk=steps.append).record == again.record
    assert steps == [], "a finished run is not trained again"
    fresh = rnnjax.fit(EXPERIMENT, workdir=tmp_path / "again", fresh=True, on_chunk=steps.append)
    assert fresh.metrics == again.metrics and steps[-1] == 32


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda root: rnnjax.fit(EXPERIMENT, seed=1, workdir=root), "seed: 1, not 0"),
        (lambda root: rnnjax.fit(dataclasses.replace(EXPERIMENT, model=ByHand()), workdir=root), "model"),
        (lambda root: rnnjax.fit(EXPERIMENT, seed=-1), "seed must be an integer"),
        (lambda root: rnnjax.fit(NONE), "fit needs an rnnjax.Experiment"),
        (lambda root: rnnjax.load(root, experiment=NONE), "must be the rnnjax.Experiment"),
    ],
)
def test_it_raises_and_never_exits(call, said, whole, monkeypatch):
    for module, name in ((sys, "exit"), (os, "_exit"), (cli, "run")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("exited"))
    with pytest.raises(rnnjax.RnnjaxError, match=said):
        call(whole)


def test_a_predictor_is_shown_without_its_weights(whole):
    shown = repr(rnnjax.load(whole, experiment=EXPERIMENT))
    assert shown.startswith("Predictor(model=") and "array(" not in shown

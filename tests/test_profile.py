"""What a training tells of its own cost: a profile of a few steps, peak memory, and the wait for data."""

import dataclasses
import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

import rnnjax
from rnnjax.errors import UsageError
from rnnjax.runs import display
from rnnjax.runs.fitting import run
from rnnjax.runs.log import read_metrics
from rnnjax.runs.workdir import WorkDir
from rnnjax.training import memory
from rnnjax.training.memory import peak_memory
from rnnjax.training.runner import Runner
from tests.test_fit import EXPERIMENT


@pytest.fixture(scope="module")
def compiled():
    """Calls of 4 steps, 16 steps an epoch."""
    return Runner(EXPERIMENT, EXPERIMENT.data.load(), jax.devices()[:1])


@pytest.fixture
def program(compiled, monkeypatch):
    """The program with a profile, and with nothing compiled yet as far as it knows."""
    train = dataclasses.replace(EXPERIMENT.train, profile=True)
    monkeypatch.setattr(compiled, "experiment", dataclasses.replace(EXPERIMENT, train=train))
    monkeypatch.setattr(compiled, "_called", set())
    return compiled


def traces(root):
    return sorted((root / "profile").glob("plugins/profile/*/*.trace.json.gz"))


def test_a_profile_of_a_few_compiled_steps_is_a_trace_that_opens(program, tmp_path, capsys):
    run(program, 0, tmp_path / "run")
    (path,) = traces(tmp_path / "run")
    said = [line for line in capsys.readouterr().out.splitlines() if "profile" in line]
    assert len(said) == 1 and f"profile of steps 5 to 12 in {path}" in said[0]
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    assert {"X", "M"} <= {event["ph"] for event in events if "ph" in event}
    names = {str(event.get("name")) for event in events}
    assert any("tanh" in name for name in names), "the cell's own operations"
    assert not any("compile" in name.lower() and "backend" in name.lower() for name in names), "compiled before"
    assert list(path.parent.glob("*.xplane.pb")), "what TensorBoard reads"
    assert not list(path.parent.glob("perfetto*")), "no link, and no server"


def test_a_profile_does_not_change_the_run(program, compiled, tmp_path, monkeypatch):
    run(program, 0, tmp_path / "profiled")
    monkeypatch.setattr(compiled, "experiment", EXPERIMENT)
    run(compiled, 0, tmp_path / "plain")
    results = [json.loads((tmp_path / name / "result.json").read_text())["metrics"] for name in ("profiled", "plain")]
    assert results[0] == results[1] and not (tmp_path / "plain" / "profile").exists()
    ours, theirs = (WorkDir(tmp_path / name).read_run() for name in ("profiled", "plain"))
    assert ours.differences(theirs) == [], "it is no other run"


def test_a_run_that_is_too_short_for_a_profile_says_so(program, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(type(program), "is_compiled", lambda self, chunk: False)
    run(program, 0, tmp_path / "run")
    assert not traces(tmp_path / "run")
    assert "no profile was taken: the training ended before it called a step" in capsys.readouterr().out


def test_a_profile_that_ends_with_an_epoch_is_written(program, tmp_path, capsys):
    """Of an evaluation that is due, nothing is in it."""
    train = dataclasses.replace(program.experiment.train, evaluate_every=8, epochs=1)
    program.experiment = dataclasses.replace(program.experiment, train=train)
    run(program, 0, tmp_path / "run")
    assert "profile of steps 5 to 8 in" in capsys.readouterr().out
    assert len(traces(tmp_path / "run")) == 1


@pytest.mark.slow
def test_a_profiler_that_is_in_use_costs_a_note(program, tmp_path, capsys):
    jax.profiler.start_trace(str(tmp_path / "other"))
    try:
        run(program, 0, tmp_path / "run")
    finally:
        jax.profiler.stop_trace()
    assert "no profile is taken (" in capsys.readouterr().out
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_profile_without_a_folder_is_refused():
    with pytest.raises(UsageError, match="give it workdir="):
        rnnjax.fit(dataclasses.replace(EXPERIMENT, train=dataclasses.replace(EXPERIMENT.train, profile=True)))


class Device:
    def __init__(self, peak):
        self.peak = peak

    def memory_stats(self):
        return None if self.peak is None else {"peak_bytes_in_use": self.peak, "bytes_in_use": 1}


ALONE = """
import runpy
peak_memory = runpy.run_path({file!r})["peak_memory"]
held = b"x" * (64 * 2**20)
print(*peak_memory([]))
"""


def test_peak_memory_is_of_this_process_and_not_of_the_one_that_started_it():
    """Linux' ``getrusage`` alone would say what pytest with JAX takes, which is more."""
    code = ALONE.format(file=memory.__file__)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[1] == "process" and 64 < float(said[0]) < 64 + 48


def test_peak_memory_is_the_fullest_devices_or_that_of_the_process(monkeypatch):
    assert peak_memory([Device(3 * 2**20), Device(5 * 2**20)]) == (5.0, "device")
    monkeypatch.setattr(memory, "Path", lambda _: Path("/nowhere"))  # as of a system that is not Linux
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    found, of = peak_memory([Device(None)])
    assert of == "process" and before <= found <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def test_each_epoch_and_the_result_tell_peak_memory_and_the_wait_for_data(compiled, tmp_path, monkeypatch, capsys):
    shard = compiled.parallel.shard

    def slowly(array):
        time.sleep(0.02)
        return shard(array)

    monkeypatch.setattr(compiled, "experiment", EXPERIMENT)
    monkeypatch.setattr(compiled.parallel, "shard", slowly)
    result = run(compiled, 0, tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert all(0 < row["input_wait"] < 1 for row in rows)
    assert 0 < result["input_wait"] < 1
    peaks = [row["peak_memory_mib"] for row in rows]
    assert 0 < peaks[0] <= peaks[1] <= result["peak_memory"]["mib"] and result["peak_memory"]["of"] == "process"
    shown = capsys.readouterr().out
    assert f"  peak {peaks[0] / 1024:.2f} GiB" in shown and "of the time waiting for data" in shown


def test_an_epochs_line_says_a_wait_that_is_felt_and_no_other():
    """Of data that lie on the devices; of streamed data see test_streamed.py."""
    row = {"examples_per_second": 100.0, "input_wait": 0.2}
    assert display._input(row) == ", 20% of the time waiting for data"
    assert display._input(row | {"input_wait": 0.01}) == ""

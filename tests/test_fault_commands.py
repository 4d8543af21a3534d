"""Whole commands that are killed, signalled, cut off from their reader, and run out of disk: ``pytest -m faults``."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnjax.runs.log import read_metrics
from rnnjax.runs.predict import load
from rnnjax.runs.workdir import WorkDir

CHECKOUT = Path(__file__).resolve().parents[1]
EPOCHS = 40
pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


def command(runs: Path, *more: str, epochs: int = EPOCHS) -> list[str]:
    options = ["--seeds", "0", "--model.features", "8", "--train.epochs", str(epochs), "--runs-dir", str(runs)]
    return [sys.executable, "-u", "-m", "experiments.digits_rows", *options, "--parallel.cpu-devices", "1", *more]


def start(arguments: list[str], **options) -> subprocess.Popen:
    return subprocess.Popen(
        arguments, cwd=CHECKOUT, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    )


def run(arguments: list[str], **options) -> subprocess.CompletedProcess:
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300}
    return subprocess.run(arguments, cwd=CHECKOUT, text=True, **{**kept, **options})


def root(runs: Path) -> Path:
    return runs / "digits_rows" / "seed-0"


def wait_for(process: subprocess.Popen, text: str) -> str:
    shown, deadline = "", time.monotonic() + 300
    while text not in shown:
        line = process.stdout.readline()
        assert line, f"{shown}\n{process.communicate()[1]}"
        assert time.monotonic() < deadline, shown
        shown += line
    return shown


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    runs = tmp_path_factory.mktemp("unbroken")
    done = run(command(runs))
    assert done.returncode == 0, done.stderr
    return root(runs)


def assert_as(unbroken: Path, folder: Path) -> None:
    assert WorkDir(folder).finished(tested=True)["metrics"] == WorkDir(unbroken).finished(tested=True)["metrics"]
    for a, b in zip(*(jax.tree.leaves(load(one).variables) for one in (folder, unbroken)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(read_metrics(folder / "metrics.jsonl")) == EPOCHS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_twice_saves_and_the_same_command_ends_as_the_unbroken_run(number, unbroken, tmp_path):
    process = start(command(tmp_path))
    wait_for(process, "epoch  5/")
    process.send_signal(number)
    time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number, said
    assert f"stopped by {signal.Signals(number).name}" in said
    assert "Traceback" not in said
    assert not list((root(tmp_path) / "checkpoints").glob("*tmp*"))
    done = run(command(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    assert_as(unbroken, root(tmp_path))


def test_killed_again_and_again_it_ends_as_the_unbroken_run(unbroken, tmp_path):
    rng = random.Random(0)
    for _ in range(8):
        process = start(command(tmp_path))
        with contextlib.suppress(AssertionError):  # it may have come to its end
            wait_for(process, "epoch")
        time.sleep(rng.random())
        process.kill()
        process.communicate()
    done = run(command(tmp_path))
    assert done.returncode == 0, done.stderr
    assert_as(unbroken, root(tmp_path))
    assert not list(root(tmp_path).rglob("*tmp*"))


def test_two_trainings_of_one_folder_and_fresh_beside_one_are_refused(unbroken, tmp_path):
    first = start(command(tmp_path))
    wait_for(first, "epoch  2/")
    first.send_signal(signal.SIGSTOP)  # it is at work for as long as this test looks
    for more in ((), ("--fresh",)):
        second = run(command(tmp_path, *more))
        assert second.returncode == 1, second.stdout
        assert f"a training is at work there: process {first.pid} on" in second.stderr
        assert "Traceback" not in second.stderr
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert_as(unbroken, root(tmp_path))


def test_a_reader_that_goes_away_ends_no_training(unbroken, tmp_path):
    process = start(command(tmp_path))
    wait_for(process, "epoch  1/")
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert process.wait(300) == 0, said
    assert "the run goes on without a word" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert_as(unbroken, root(tmp_path))


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "< /dev/null > /dev/full 2>&1"])
def test_a_closed_or_full_output_ends_no_training(closed, unbroken, tmp_path):
    line = " ".join(f"'{word}'" for word in command(tmp_path))
    done = run(["bash", "-c", f"{line} {closed}"])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert_as(unbroken, root(tmp_path))


def test_warnings_as_errors_change_nothing(unbroken, tmp_path):
    done = run(command(tmp_path), env=os.environ | {"PYTHONWARNINGS": "error"})
    assert done.returncode == 0, done.stderr
    assert_as(unbroken, root(tmp_path))


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("size", ["60k", "300k"])
def test_a_full_disk_is_one_sentence_and_with_room_the_run_goes_on(size, unbroken, tmp_path):
    with small_disk(tmp_path / "disk", size) as disk:
        began = time.monotonic()
        done = run(command(disk))
        assert done.returncode == 1, done.stdout
        errors = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
        assert len(errors) <= 3, done.stderr
        assert errors[0].startswith("error: ")
        assert "Traceback" not in done.stderr
        assert time.monotonic() - began < 200, "its threads kept it for five minutes"
        shutil.copytree(disk, tmp_path / "runs", dirs_exist_ok=True)
    done = run(command(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    assert_as(unbroken, root(tmp_path / "runs"))


def test_a_work_folder_that_is_deleted_meanwhile_is_one_sentence(tmp_path):
    process = start(command(tmp_path, epochs=4000))
    wait_for(process, "epoch    2/")
    shutil.rmtree(root(tmp_path), ignore_errors=True)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if not line.startswith("note: ")]) <= 3, said


def test_one_damaged_result_does_not_stop_the_other_seeds(tmp_path):
    seeds = command(tmp_path, epochs=2)
    seeds[seeds.index("--seeds") + 1 : seeds.index("--seeds") + 2] = ["0", "1"]
    assert run(seeds).returncode == 0
    (root(tmp_path) / "result.json").write_text("{}")
    shutil.rmtree(tmp_path / "digits_rows" / "seed-1")
    done = run(seeds)
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        assert json.loads((tmp_path / "digits_rows" / f"seed-{seed}" / "result.json").read_text())["seed"] == seed


def test_five_hundred_damages_and_none_is_silent():
    done = run([sys.executable, "-m", "tests.damage", "--count", "500"], timeout=880)
    assert done.stdout.splitlines()[-1] == "0 of 500 silent", done.stdout[-3000:] + done.stderr[-3000:]


def test_ckpt_chaos_finds_nothing(tmp_path):
    """Its crash points are the file operations of a save; the package is no dependency of ours."""
    chaos = shutil.which("ckpt-chaos", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if chaos is None:
        pytest.skip("ckpt-chaos is not installed")
    told = tmp_path / "told.py"
    told.write_text(
        "import json, pathlib, sys\n"
        "root = pathlib.Path(sys.argv[1]) / 'digits_rows' / 'seed-0'\n"
        "print(json.dumps(json.loads((root / 'result.json').read_text())['metrics']))\n"
    )
    options = ["--max-points", "24", "--modes", "before,torn,term", "--work", str(tmp_path / "chaos")]
    options += ["--result-cmd", f"{sys.executable} {told} {{out}}"]
    options += ["--fail-on", "HARD_FAIL,SILENT_DIVERGENCE,CONTROL_FAIL,LOST_WORK"]
    done = run([chaos, "run", *options, "--", *command(Path("{out}"), epochs=3)], timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

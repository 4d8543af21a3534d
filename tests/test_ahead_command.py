"""``plan`` as a command: what it prints and writes, and what is said where something is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import digits_rows
from rnnjax import data
from rnnjax.ahead import machines
from rnnjax.errors import UsageError
from rnnjax.runs import commands
from tests.test_imports import ROOT


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a user runs it, compiled in full."""
    command = [sys.executable, "-m", "experiments.digits_rows", "plan", *arguments]
    environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, env=environment)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "plan needs a machine, --for MACHINE; known machines are v5e:2x2"),
        (("--for", "v5x:2x2"), "no chip 'v5x'; did you mean v5"),
        (("--for", "v5e:2x2", "--json", "nowhere/plan.json"), "--json nowhere/plan.json: there is no folder nowhere"),
        (("--for", "v5e:2x2", "--json", "."), "--json . is a folder; name a file in it"),
        (("--for", "v5e:2x2", "--optim.learning-rate", "-1"), "--optim.learning-rate must be positive"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, said):
    done = ran(*arguments)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_a_missing_part_is_said_before_the_data_are_read(monkeypatch):
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    monkeypatch.setattr(data, "load", lambda section: pytest.fail("the data were read"))
    with pytest.raises(UsageError, match=r"libtpu: pip install -e '\.\[aot-tpu\]'"):
        commands.plan(digits_rows.EXPERIMENT, "v5e:2x2", False, None)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["v5e:2x2", pytest.param("h200:2x4", marks=pytest.mark.long)])
def test_it_prints_and_writes_what_the_steps_are_there(target, tmp_path: Path):
    if reason := machines.obstacle("tpu" if target.startswith("v") else "cuda"):
        pytest.skip(reason)
    file = tmp_path / "plan.json"
    done = ran("--for", target, "--json", str(file), "--data.batch-size", "64")
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "what libraries say of drivers that are not here stays off the terminal"
    said = json.loads(file.read_text())
    assert said["fits"] and done.stdout.splitlines()[-1] == "fits"
    assert said["machine"]["name"] == target and said["batch_a_device"] * said["machine"]["devices"] == 64
    assert set(said["implementations"].values()) == {"fused"}
    assert str(Path.home()) not in file.read_text() and str(ROOT) not in file.read_text()
    train = said["steps"]["train"]
    assert train["memory"]["together"] <= train["memory"]["available"]
    assert 0 < train["operations_in_loops"] < train["operations"]
    assert train["floors"]["holds"] in ("arithmetic", "memory")
    assert list(train["exchanged"]["kinds"]) == ["all-reduce"]
    over_time = [loop for loop in train["loops"] if loop["layer"]]
    assert {loop["pass"] for loop in over_time} == {"forward", "backward"}
    assert all(loop["iterations"] == 8 and loop["launches"] and not loop["whole_buffer_copies"] for loop in over_time)
    for line in ("memory a device", "products a step", "floors a step", "exchanged a step", "recurrent/layers_0"):
        assert line in done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_the_largest_batch_is_looked_for_and_planned_with(tmp_path: Path):
    """Of so few examples any batch fits: all of them, as far as they divide."""
    if reason := machines.obstacle("tpu"):
        pytest.skip(reason)
    file = tmp_path / "plan.json"
    done = ran("--for", "v5e:2x2", "--find-batch", "--json", str(file))
    assert done.returncode == 0, done.stderr
    said = json.loads(file.read_text())
    assert said["batch_size"] == max(one["batch_size"] for one in said["tried"]) >= 1000
    assert len(said["tried"]) <= 10 and f"{said['batch_size']}: " in done.stdout

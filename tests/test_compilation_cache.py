"""The cache of compiled programs: it is used, it changes no number, it can be turned off, and it breaks no run."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.digits_rows import EXPERIMENT as DIGITS
from rnnjax import data
from rnnjax.cli import main
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.workdir import WorkDir
from rnnjax.training import parallel
from tests.marks import LONG
from tests.small import CONFIG, small_program, subset

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cache(tmp_path):
    """A folder that compiled programs are kept in; JAX is as it was afterwards."""
    jax.config.update("jax_enable_compilation_cache", True)
    parallel.keep_compiled(tmp_path / "xla")
    yield tmp_path / "xla"
    parallel.keep_compiled(None)
    jax.config.update("jax_enable_compilation_cache", False)


def fresh_fit(root, devices=2):
    """The result and the parameters of a run whose programs nobody in this process has compiled."""
    program = small_program(CONFIG, subset(data.load(CONFIG.data), 320, 64), devices=jax.devices()[:devices])
    result = fit(program, 0, root)
    return result, (root / "metrics.jsonl").read_text().splitlines()


def without_rate(lines):
    return [line.split(', "examples_per_second"')[0] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [pytest.param(1, marks=LONG), 2])
def test_a_run_from_the_cache_is_the_run_that_compiled_bit_for_bit(cache, tmp_path, devices):
    first, first_rows = fresh_fit(tmp_path / "first", devices)
    assert first["compilation_cache"]["misses"] > 0
    assert list(cache.rglob("*-cache"))
    second, second_rows = fresh_fit(tmp_path / "second", devices)
    assert second["compilation_cache"]["misses"] == 0
    assert second["compilation_cache"]["hits"] >= 3, "initialisation, training and evaluation"
    parallel.keep_compiled(None)
    third, third_rows = fresh_fit(tmp_path / "third", devices)
    assert third["compilation_cache"] == "off"
    assert first["metrics"] == second["metrics"] == third["metrics"]
    assert without_rate(first_rows) == without_rate(second_rows) == without_rate(third_rows)


def compiled(x):
    return jax.jit(lambda x: (x * 3).sum())(x)  # a new function each time: JAX's own memory does not know it


def test_a_broken_entry_is_compiled_again(cache):
    expected = float(compiled(np.arange(5.0)))
    entries = list(cache.rglob("*-cache"))
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:20])
    with pytest.warns(UserWarning, match="compilation cache"):
        assert float(compiled(np.arange(5.0))) == expected


def test_a_folder_that_cannot_be_written_costs_a_warning(cache, tmp_path):
    del cache
    (tmp_path / "file").write_text("")
    parallel.keep_compiled(tmp_path / "file")
    with pytest.warns(UserWarning, match="compilation cache"):
        assert float(compiled(np.arange(4.0))) == 18


def test_code_for_another_kind_of_cpu_lies_apart(cache, tmp_path, monkeypatch):
    compiled(np.arange(3.0))
    monkeypatch.setattr(parallel, "_cpu_fingerprint", lambda: "another")
    parallel.keep_compiled(cache)
    before = parallel.DataParallel().cache_counts()
    compiled(np.arange(3.0))
    after = parallel.DataParallel().cache_counts()
    assert after["hits"] == before["hits"]
    assert list((cache / "another").glob("*-cache"))


def test_the_users_own_folder_goes_first(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    parallel.keep_compiled(cache)
    compiled(np.arange(6.0))
    assert list((tmp_path / "own").glob("*-cache"))


def test_importing_and_help_leave_the_cache_alone():
    program = (
        "import jax, rnnjax.cli, rnnjax.runs.fitting, rnnjax.training.parallel\n"
        "print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT, timeout=120)
    assert done.stdout.split() == ["None", "1.0"], done.stderr


def test_the_option_turns_it_off(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(parallel, "keep_compiled", asked.append)
    monkeypatch.setenv("RNNJAX_CACHE_DIR", str(tmp_path / "cache"))
    options = ["--model.features", "4", "--train.epochs", "1", "--seeds", "0", "--runs-dir", str(tmp_path)]
    assert main(DIGITS, [*options, "--train.no-compilation-cache"]) == 0
    assert WorkDir(tmp_path / "digits_rows" / "seed-0").finished()["compilation_cache"] == "off"
    assert main(DIGITS, ["evaluate", "--workdir", str(tmp_path / "digits_rows" / "seed-0")]) == 0
    assert asked == [None, None], "evaluate does as the run was told"
    assert main(DIGITS, options) == 0
    assert asked[2] == tmp_path / "cache" / "xla"

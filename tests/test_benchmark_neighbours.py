"""What other processes take of the CPU while a benchmark runs: children are none of them, orphans are."""

import shlex
import subprocess
import sys
import time

import pytest

from experiments.benchmarks import neighbours
from experiments.benchmarks.neighbours import Neighbours

BUSY = "import time; end = time.perf_counter() + 1.2\nwhile time.perf_counter() < end: pass"


def test_what_other_processes_take_is_the_rest(monkeypatch):
    counters = iter([(10.0, 1.0), (16.0, 4.0)])  # busy seconds of all, and ours
    monkeypatch.setattr(Neighbours, "_counters", staticmethod(lambda: next(counters)))
    assert Neighbours().cores(2.0) == pytest.approx(1.5)


def test_without_linux_counters_it_is_not_known(monkeypatch, tmp_path):
    monkeypatch.setattr(neighbours, "_PROC", tmp_path)
    assert Neighbours().cores(1.0) is None


def test_a_family_is_counted_whatever_its_names_are(monkeypatch, tmp_path):
    """A child and its child, not another's; a process that ends meanwhile has no file any more."""
    for number, parent, name, ticks in (
        (7, 1, "it", (1, 2, 3, 4)),
        (5, 7, "a (b) 3 c)", (10, 20, 30, 40)),
        (9, 5, "d e", (100, 200, 300, 400)),
        (8, 1, "other", (5000, 0, 0, 0)),
    ):
        (folder := tmp_path / str(number)).mkdir()
        words = [str(number), f"({name})", "S", str(parent), *["0"] * 9, *map(str, ticks), "20", "0"]
        (folder / "stat").write_text(" ".join(words))
    (tmp_path / "11").mkdir()
    monkeypatch.setattr(neighbours, "_PROC", tmp_path)
    monkeypatch.setattr(neighbours.os, "getpid", lambda: 7)
    assert neighbours._ours() == 10 + 100 + 1000


@pytest.mark.slow
@pytest.mark.parametrize("orphan", [False, True])
def test_a_child_is_ours_and_an_orphan_is_another(orphan):
    found = Neighbours()
    if found.cores(1.0) is None:
        pytest.skip("no /proc on this system")
    command, before = [sys.executable, "-c", BUSY], neighbours._ours()
    if orphan:
        subprocess.run(["sh", "-c", shlex.join(command) + " &"], check=True)
        time.sleep(1.5)
    else:
        subprocess.run(command, check=True)
    ours = (neighbours._ours() - before) / neighbours.os.sysconf("SC_CLK_TCK")
    assert (ours < 0.6) is orphan
    if orphan:
        assert (found.cores() or 0) > 0.2

"""What other processes take of the CPU while a benchmark runs: children are none of them, orphans are."""

import shlex
import subprocess
import sys
import time

import pytest

from experiments.benchmarks.neighbours import Neighbours

BUSY = "import time; end = time.perf_counter() + 1.2\nwhile time.perf_counter() < end: pass"


def test_what_other_processes_take_is_the_rest(monkeypatch):
    counters = iter([(10.0, 1.0), (16.0, 4.0)])  # busy seconds of all, and ours
    clock = iter([100.0, 102.0])
    monkeypatch.setattr(Neighbours, "_counters", staticmethod(lambda: next(counters)))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    found = Neighbours().cores()
    monkeypatch.undo()
    assert found == pytest.approx(1.5)


def test_without_psutil_it_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert Neighbours().cores() is None


@pytest.mark.slow
@pytest.mark.parametrize("orphan", [False, True])
def test_a_child_is_ours_and_an_orphan_is_another(orphan):
    command, (_, before) = [sys.executable, "-c", BUSY], Neighbours._counters() or (0, 0)
    found = Neighbours()
    if orphan:
        subprocess.run(["sh", "-c", shlex.join(command) + " &"], check=True)
        time.sleep(1.5)
    else:
        subprocess.run(command, check=True)
    (_, after) = Neighbours._counters() or (0, 0)
    assert (after - before < 0.6) is orphan
    if orphan:
        assert (found.cores() or 0) > 0.2

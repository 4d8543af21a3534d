"""Two hosts against one: the same parameters and metrics, and a stop that all hosts agree on."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnjax.predict import load

WORKER = Path(__file__).with_name("multihost_worker.py")


def run_hosts(hosts: int, folder: Path, *extra: str) -> list[subprocess.CompletedProcess]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.multihost_worker", port, str(hosts), str(host), str(folder), *extra],
            cwd=WORKER.parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for host in range(hosts)
    ]
    return [
        subprocess.CompletedProcess(process.args, process.wait(), out)
        for process, out in [(process, process.communicate(timeout=500)[0]) for process in started]
    ]


@pytest.mark.slow
def test_two_hosts_of_two_devices_train_what_one_host_of_four_trains(tmp_path):
    (one,) = run_hosts(1, tmp_path / "one")
    assert one.returncode == 0, one.stdout
    stopped = run_hosts(2, tmp_path / "two", "8")
    assert all("stopped by SIGTERM after step 12" in host.stdout for host in stopped), "\n".join(
        host.stdout for host in stopped
    )
    two = run_hosts(2, tmp_path / "two")
    assert all(host.returncode == 0 for host in two), "\n".join(host.stdout for host in two)
    ours, theirs = (load(tmp_path / name).variables["params"] for name in ("one", "two"))
    flat = zip(*(map(np.asarray, jax.tree.leaves(tree)) for tree in (ours, theirs)), strict=True)
    for a, b in flat:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, np.abs(b).max()))
    accuracies = {re.search(r"'accuracy': ([0-9.]+)", host.stdout).group(1) for host in (one, *two)}
    assert len(accuracies) == 1
    confusions = [
        json.loads((tmp_path / name / "report-test.json").read_text())["confusion"] for name in ("one", "two")
    ]
    assert confusions[0] == confusions[1]

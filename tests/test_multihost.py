"""Two hosts against one: the same parameters and metrics, and a stop that all hosts agree on; hosts that die."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnjax.cli import main
from rnnjax.config import ParallelConfig, from_json, identity_differences, to_json
from rnnjax.errors import RunError, UsageError
from rnnjax.experiment import KINDS
from rnnjax.runs.predict import load
from rnnjax.training import hosts as several
from tests.small import CONFIG, EXPERIMENT

WORKER = Path(__file__).with_name("multihost_worker.py")
ROOT = WORKER.parent.parent


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return str(free.getsockname()[1])


def run_hosts(hosts: int, folder: Path, *extra: str) -> list[subprocess.CompletedProcess]:
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.multihost_worker", port, str(hosts), str(host), str(folder), *extra],
            cwd=ROOT,
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


def assert_same_parameters(ours: Path, theirs: Path) -> None:
    trees = (load(folder).variables["params"] for folder in (ours, theirs))
    for a, b in zip(*(map(np.asarray, jax.tree.leaves(tree)) for tree in trees), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(1.0, np.abs(b).max()))


@pytest.mark.slow
@pytest.mark.long
def test_two_hosts_of_two_devices_train_what_one_host_of_four_trains(tmp_path):
    (one,) = run_hosts(1, tmp_path / "one")
    assert one.returncode == 0, one.stdout
    stopped = run_hosts(2, tmp_path / "two", "8")
    assert all("stopped by SIGTERM after step 12" in host.stdout for host in stopped), "\n".join(
        host.stdout for host in stopped
    )
    two = run_hosts(2, tmp_path / "two")
    assert all(host.returncode == 0 for host in two), "\n".join(host.stdout for host in two)
    assert_same_parameters(tmp_path / "one", tmp_path / "two")
    accuracies = {re.search(r"'accuracy': ([0-9.]+)", host.stdout).group(1) for host in (one, *two)}
    assert len(accuracies) == 1
    confusions = [
        json.loads((tmp_path / name / "report-test.json").read_text())["confusion"] for name in ("one", "two")
    ]
    assert confusions[0] == confusions[1]


def command(folder: Path, *options: str, epochs: int = 2) -> list[str]:
    """The real command line, of a small model without dropout, which every number of devices draws anew."""
    small = ["--model.features", "8", "--model.dropout", "0", "--train.epochs", str(epochs), "--seeds", "0"]
    return [sys.executable, "-m", "experiments.digits_rows", *small, "--runs-dir", str(folder), *options]


@contextlib.contextmanager
def two_hosts(folder: Path, *options: str, epochs: int = 2, only: tuple[str, ...] = ()) -> Iterator[list]:
    """Two hosts of one run; ``only`` are options of the second alone."""
    join = ["--parallel.coordinator", f"localhost:{free_port()}", "--parallel.processes", "2", *options]
    hosts = [
        subprocess.Popen(
            command(folder, *join, "--parallel.process-id", str(i), *(only if i else ()), epochs=epochs),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        yield hosts
    finally:
        for host in hosts:
            host.kill()
            host.communicate()


def until(host: subprocess.Popen, text: str) -> None:
    """Reads what a host prints, to a line with this text."""
    assert host.stdout is not None
    assert any(text in line for line in host.stdout), host.stderr and host.stderr.read()


@pytest.mark.slow
def test_the_command_line_joins_two_hosts_by_their_coordinator(tmp_path):
    with two_hosts(tmp_path) as hosts:
        ended = [host.communicate(timeout=200) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], ended
    assert [err for _, err in ended] == ["", ""]
    result = json.loads((tmp_path / "digits_rows" / "seed-0" / "result.json").read_text())
    assert result["device"]["hosts"] == 2


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_ends_the_others_and_one_host_resumes(tmp_path, victim):
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    with two_hosts(broken, "--parallel.heartbeat", "10", epochs=12) as hosts:
        until(hosts[0], "epoch  3/12")
        hosts[victim].kill()  # its child, which trains, dies with it: the other host would wait for it forever
        other = hosts[1 - victim]
        _, err = other.communicate(timeout=60)
    assert (other.returncode, err) == (1, f"error: {several.GONE}\n")
    one = subprocess.run(command(broken, epochs=12), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert one.returncode == 0, one.stderr
    assert "resuming" in one.stdout
    straight = subprocess.run(command(unbroken, epochs=12), cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert straight.returncode == 0, straight.stderr
    assert_same_parameters(broken / "digits_rows" / "seed-0", unbroken / "digits_rows" / "seed-0")


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_host_that_no_longer_answers_ends_the_others(tmp_path):
    """No connection breaks here: JAX's heartbeat ends the other host, from C++."""
    with two_hosts(tmp_path, "--parallel.heartbeat", "10", epochs=4000) as hosts:
        until(hosts[0], "epoch    3/4000")
        child = int(Path(f"/proc/{hosts[1].pid}/task/{hosts[1].pid}/children").read_text().split()[0])
        os.kill(child, signal.SIGSTOP)
        _, err = hosts[0].communicate(timeout=60)
    assert (hosts[0].returncode, err) == (1, f"error: {several.GONE}\n")


@pytest.mark.slow
@pytest.mark.faults
def test_a_host_that_fails_alone_says_why_and_ends_the_others(tmp_path):
    with two_hosts(tmp_path, "--parallel.heartbeat", "10", only=("--data.name", "no_such_data")) as hosts:
        (_, err), (_, failed) = [host.communicate(timeout=200) for host in hosts]
    assert (hosts[1].returncode, hosts[0].returncode) == (1, 1)
    assert failed.startswith("error: ") and "no_such_data" in failed and len(failed.splitlines()) == 1
    assert err == f"error: {several.GONE}\n"


@pytest.mark.slow
@pytest.mark.faults
def test_a_coordinator_that_does_not_answer_is_one_sentence(tmp_path):
    join = ["--parallel.coordinator", f"localhost:{free_port()}", "--parallel.processes", "2"]
    one = subprocess.run(
        command(tmp_path, *join, "--parallel.process-id", "1", "--parallel.join-timeout", "5"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert one.returncode == 1
    assert one.stderr.splitlines()[-1] == f"error: {several.not_joined(5)}"
    assert "***" not in one.stderr


def test_a_port_in_use_is_an_error():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        with pytest.raises(RunError, match="cannot listen on port"):
            several.check_port(f"localhost:{taken.getsockname()[1]}")
    several.check_port(f"localhost:{free_port()}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coordinator": "a:1"}, "--parallel.processes and --parallel.process-id missing"),
        ({"processes": 2, "process_id": 0}, "--parallel.coordinator missing"),
        ({"coordinator": "a", "processes": 2, "process_id": 0}, "coordinator must be HOST:PORT"),
        ({"coordinator": ":80", "processes": 2, "process_id": 0}, "coordinator must be HOST:PORT"),
        ({"coordinator": "a:99999", "processes": 2, "process_id": 0}, "coordinator must be HOST:PORT"),
        ({"coordinator": "a:1", "processes": 0, "process_id": 0}, "processes must be positive, got 0"),
        ({"coordinator": "a:1", "processes": 2, "process_id": 2}, "process-id must be from 0 to 1 with"),
        ({"coordinator": "a:1", "processes": 2, "process_id": -1}, "process-id must be from 0 to 1 with"),
        ({"heartbeat": 0}, "heartbeat must be positive, got 0"),
        ({"join_timeout": 0}, "join-timeout must be positive, got 0"),
    ],
)
def test_options_of_hosts_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        ParallelConfig(**options)


def test_a_coordinator_implies_several_hosts():
    assert not ParallelConfig().several_hosts
    assert ParallelConfig(distributed=True).several_hosts
    assert ParallelConfig(coordinator="[::1]:80", processes=1, process_id=0).several_hosts


def test_a_configuration_written_before_these_options_is_read():
    old = to_json(CONFIG)
    old["parallel"] = {"cpu_devices": None, "distributed": False}
    assert from_json(old, KINDS) == CONFIG


def test_where_a_run_is_trained_is_written_down_and_no_part_of_what_it_is():
    there = ParallelConfig(coordinator="a:1", processes=3, process_id=2, join_timeout=9, heartbeat=8)
    config = dataclasses.replace(CONFIG, parallel=there)
    assert from_json(to_json(config), KINDS) == config
    assert not identity_differences(config, CONFIG)


def test_without_hosts_to_find_the_error_names_the_options(tmp_path):
    done = subprocess.run(
        command(tmp_path, "--parallel.distributed"), cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*does not find the hosts .*--parallel.coordinator.*\n", done.stderr), done.stderr


def test_a_caller_that_hands_arguments_over_is_not_started_again(monkeypatch):
    """Its own command line, here pytest's, is another."""
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr("rnnjax.runs.commands.train", lambda *_: 7)
    assert main(EXPERIMENT, ["--parallel.distributed"]) == 7


@pytest.mark.parametrize(
    "error",
    [
        # what jaxlib 0.10.2 raised when a peer was killed
        ValueError("UNKNOWN: Gloo all-reduce failed: [external/gloo/gloo/transport/tcp/pair.cc:538] Read error"),
        RuntimeError("INTERNAL: Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 1 heartbeat timeout."),
    ],
)
def test_an_error_of_a_collective_that_lost_its_peer_is_a_run_error(error):
    def lose_and_close() -> None:
        try:
            raise error
        finally:
            raise RunError("a checkpoint cannot be written")  # as by what is closed on the way

    with pytest.raises(RunError, match="the same command resumes"), several.gone_is_run_error():
        lose_and_close()


@pytest.mark.parametrize("error", [ValueError("operands do not match"), RunError("the loss became NaN"), KeyError("a")])
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, several.gone_is_run_error():
        raise error
    assert raised.value is error


# What a child of these tests does in place of a training; JAX's own last words, with what was written before them.
ABORT = """
import os, sys
print("before", file=sys.stderr, flush=True)
if {joined}: hosts.joined()
print('''E1127 06:34:59.145538    5407 coordination_service_agent.cc:289] Polled an error from coordination service.
F1127 06:34:59.145750    5407 client.h:80] Terminating process because the JAX distributed service detected fatal \
errors. absl::Status: {status} [type.googleapis.com/tensorflow.CoordinationServiceError='']

RPC: /xla.coordination.CoordinationService/PollForError
*** Check failure stack trace: ***
    @     0x7ff0fc440634  absl::lts_20260107::log_internal::LogMessage::SendToLog()''', file=sys.stderr, flush=True)
os.abort()
"""
WAIT = """
import os, signal, time
got = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1): signal.signal(number, lambda n, _: got.append(n))
hosts.joined()
print("ready", flush=True)
while not got: time.sleep(0.01)
time.sleep(1)
print(len(got), got[0], flush=True)
"""


@contextlib.contextmanager
def watching(body: str) -> Iterator[subprocess.Popen]:
    """A process that watches a child with this body, in a process group of their own."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    program = f"import sys\nfrom rnnjax.training import hosts\ndef command():\n{indented}\n    return 0\n"
    program += "sys.exit(hosts.watched(command, join_timeout=5, own=True))"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("joined", "status", "sentence"),
    [
        (True, "UNAVAILABLE: Socket closed", several.GONE),
        (True, "ABORTED: 1 unexpectedly tried to connect with a different incarnation.", several.TWICE),
        (False, "DEADLINE_EXCEEDED: Deadline Exceeded", several.not_joined(5)),
        (False, "INVALID_ARGUMENT: Unexpected task", several.not_joined(5, "INVALID_ARGUMENT: Unexpected task")),
    ],
)
def test_an_abort_of_jax_becomes_one_sentence(joined, status, sentence):
    with watching(ABORT.format(joined=joined, status=status)) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, f"before\nerror: {sentence}\n")


WARNING = "W1127 06:34:59.145538 54 a.cc:2] C++ that only warns"


@pytest.mark.parametrize(
    ("body", "code", "err"),
    [
        ("return 0", 0, ""),
        ("sys.stderr.write('no newline'); return 3", 3, "no newline"),
        ("sys.exit(2)", 2, ""),
        # C++ that only warns
        (
            "w = 'W1127 06:34:59.145538 54 a.cc:2] slow'; print(w, file=sys.stderr)",
            0,
            "W1127 06:34:59.145538 54 a.cc:2] slow\n",
        ),
        ("import os; os.kill(os.getpid(), 9)", 137, "error: the process of this host was ended by SIGKILL\n"),
        ("import os; os.abort()", 134, "error: the process of this host was ended by SIGABRT\n"),
        ("hosts.joined(); raise ValueError('Gloo all-reduce failed')", 1, f"error: {several.GONE}\n"),
    ],
)
def test_a_child_that_ends_by_itself_gives_its_own_exit_code(body, code, err):
    with watching(body) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, err)


@pytest.mark.faults
@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_reaches_the_child_once(number, to_group):
    """To the parent alone, as from kill, or to both, as from Ctrl-C and schedulers: a second would end it unsaved."""
    with watching(WAIT) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        (os.killpg if to_group else os.kill)(process.pid, number)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"1 {number.value}\n")


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no prctl")
def test_a_killed_parent_takes_its_child_with_it():
    with watching(WAIT) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.kill()
        assert process.stdout.read() == ""  # the child held the other end, and would hold it for good

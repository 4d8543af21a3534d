"""An exported folder is there whole or not at all: after signals, kills, and beside what others have left."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rnnjax.errors import RunError, UsageError
from rnnjax.export.aside import folder_for

ROOT = Path(__file__).parents[1]

FILLING = """
import signal, sys, time
from pathlib import Path
from rnnjax.export import aside

for number in aside.STOPS:
    signal.signal(number, signal.SIG_IGN if "ignored" in sys.argv else signal.SIG_DFL)

with aside.ended_by_signals(), aside.folder_for(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def ended(target: Path, number: int, *, ignored: bool = False) -> tuple[int, str]:
    """The exit code and errors of a process that a signal met while it was filling a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", FILLING, str(target), *(["ignored"] if ignored else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert Path(process.stdout.readline().strip()).is_dir()
    process.send_signal(number)
    if ignored:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.kill()
    return process.wait(60), process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_an_export_and_nothing_is_left(tmp_path, number):
    code, said = ended(tmp_path / "out", number)
    assert code == 128 + number and said == f"stopped by {number.name}; nothing was written\n"
    assert not list(tmp_path.iterdir())


def test_what_is_ignored_stays_ignored(tmp_path):
    assert ended(tmp_path / "out", signal.SIGHUP, ignored=True)[0] == -signal.SIGKILL


def test_the_next_export_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    assert ended(tmp_path / "out", signal.SIGKILL)[0] == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".aside-export-") and (left / "half").exists()
    others = {tmp_path / name for name in ("kept", ".aside-another", ".aside-export-file")}
    (tmp_path / "kept").mkdir()
    (tmp_path / ".aside-another").mkdir()
    (tmp_path / ".aside-export-file").touch()
    (tmp_path / ".aside-export-link").symlink_to(tmp_path / "kept")
    with folder_for(tmp_path / "out") as aside:
        (aside / "model").touch()
    assert set(tmp_path.iterdir()) == others | {tmp_path / "out", tmp_path / ".aside-export-link"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


def test_a_folder_that_another_process_fills_is_left_to_it(tmp_path):
    with folder_for(tmp_path / "one") as one, folder_for(tmp_path / "other") as other:
        assert one.is_dir() and other.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "other"}


def test_where_there_are_no_locks_nothing_is_taken_for_a_leaving(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError("no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (tmp_path / ".aside-export-old").mkdir()
    with folder_for(tmp_path / "out"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".aside-export-old", "out"}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"out: cannot be written: .*/file: File exists"),
        folder_for(tmp_path / "file" / "out"),
    ):
        pass
    with pytest.raises(UsageError, match="out exists; name another folder"), folder_for(tmp_path / "out"):
        (tmp_path / "out").symlink_to("nowhere")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "out"}

"""A folder that is filled beside its place, and is there whole or not at all, however its process ends."""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rnnjax.errors import RunError, UsageError
from rnnjax.files import ASIDE

_PREFIX = f"{ASIDE}export-"

STOPS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What ends an export: a supervisor, a closed terminal, and Ctrl-C."""

_filling: set[Path] = set()


@contextlib.contextmanager
def folder_for(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``target`` when the block ends, and is removed if the block raises.

    What exports that were killed have left beside it is removed too; a folder whose process lives is locked.

    Args:
      target: where the folder is to be; there must be none.

    Raises:
      UsageError: if there is one by then.
      RunError: if nothing can be written there.
    """
    aside = handle = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_leavings(target.parent)
        aside, handle = _locked_new(target.parent)
        _filling.add(aside)
        yield aside
        aside.chmod(0o777 & ~_umask())
        if os.path.lexists(target):  # since it was looked for
            raise UsageError(f"{target} exists; name another folder by --out")
        aside.rename(target)
    except OSError as error:
        where = "" if error.filename in (None, str(target)) else f"{error.filename}: "
        raise RunError(f"{target}: cannot be written: {where}{error.strerror or error}") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
            _filling.discard(aside)
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """In the block :data:`STOPS` end the process, after what lies aside was removed; exit code 128 + the signal's.

    It ends at once: an exception that is raised while JAX compiles may have Python crash when it leaves. What the
    process was told to ignore stays ignored, and outside the main thread nothing is caught.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        for aside in _filling:
            shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(OSError):  # print may be what was interrupted, and is not for a second call
            os.write(2, f"stopped by {signal.Signals(number).name}; nothing was written\n".encode("ascii"))
        os._exit(128 + number)

    caught = STOPS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in caught}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _locked_new(parent: Path) -> tuple[Path, int | None]:
    """A new folder, and what holds its lock; the system lets go of it when the process ends, however it ends."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        handle = _lock(made)
        if made.is_dir():  # or another export took it for a leaving before it was locked
            return made, handle
        if handle is not None:
            os.close(handle)


def _clear_leavings(parent: Path) -> None:
    """Removes the folders of exports that no longer run; where there are no locks, none is known to be one."""
    for left in parent.glob(f"{_PREFIX}*"):
        handle = None if left.is_symlink() or not left.is_dir() else _lock(left)
        if handle is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)


def _lock(folder: Path) -> int | None:
    """What holds a folder's lock; None where another holds it, there are no locks, or it is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

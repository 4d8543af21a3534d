"""One process at a time: a file that is locked for as long as its holder lives."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from rnnjax import terminal
from rnnjax.errors import RunError
from rnnjax.runs import environment

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def exclusively(path: Path, refusal: str, instead: str = "--runs-dir") -> Iterator[Callable[[], bool]]:
    """Holds a lock file for the block. The system lets go of it when the process ends, however it ends.

    Args:
      path: the lock file; it stays, and says who holds it or did last: host, process and since when.
      refusal: first words of the error where another holds it.
      instead: the option that names another place.

    Yields:
      A function that says whether the path still leads to the file that is held.

    Raises:
      RunError: if another process holds it.
      OSError: if it cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{refusal}: {_holder(path)}; wait for it, stop it, or use another {instead}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            terminal.note(f"this file system has no locks ({path}): take care that nothing else writes there")
        who = {"host": socket.gethostname(), "process": os.getpid(), "since": environment.now()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, (json.dumps(who) + "\n").encode(), 0)
        yield lambda: _is_there(handle, path)
    finally:
        os.close(handle)


def _is_there(handle: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _holder(path: Path) -> str:
    try:
        who = json.loads(path.read_text(encoding="utf-8"))
        return f"process {who['process']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"

"""Several hosts: what becomes of this host's process when another host of the run dies.

JAX ends a process whose peers are gone from C++ (SIGABRT and a dump of its stack), also while the hosts join, and no
Python code of that process has a say in it. So the command line of a host runs once more, as a child process, and the
first process only watches: it passes signals and stderr on, and turns such an end into one sentence and exit code 1.
"""

import atexit
import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rnnjax.errors import RunError

GONE = (
    "another host of this run is gone or no longer answers (its own messages say why); what was saved is kept, "
    "and the same command resumes, also on another number of hosts"
)
TWICE = (
    "two processes of this run have the same process id, or one was started again by itself; stop all of them, "
    "and start every host once, with a --parallel.process-id of its own"
)

_CHILD = "_RNNJAX_HOST"
"""Environment variable that marks the child: ``PARENT:DESCRIPTOR``, where it tells the parent how far it is."""
_JOINED, _LOST, _ENDED = b"J", b"L", b"E"
"""What it tells; the last is followed by the exit code in three digits. All other bytes are numbers of signals
that reached it, below 65."""
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) if os.name == "posix" else ()
_GRACE = 0.3
"""Seconds after which a signal that reached the parent alone is passed on."""
_HELD = 2.0
"""Seconds for which messages from C++ are held back, since the end of the process may follow."""
_FROM_CPP = re.compile(rb"[WEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\.(cc|h):\d+\] ")
_LOST_MESSAGE = re.compile(
    r"gloo|nccl error|connection (closed|reset)|socket closed|heartbeat timeout|coordination service|barrier"
    r"|distributed service|remote task has failed",
    re.IGNORECASE,
)

_parent: int | None = None  # the descriptor on which this process, if it is a child, tells its parent
_together = False  # whether this process has joined the other hosts


def watched(command: Callable[[], int], *, join_timeout: int, own: bool) -> int:
    """Runs a host's part of a command, in a child process where the other hosts' death would end this one.

    Args:
      command: what joins the other hosts and returns an exit code; it is called in the child alone.
      join_timeout: seconds for which the hosts wait for each other.
      own: whether this process's command line leads here again. If not, or where there is no POSIX or the program
        came from stdin, there is no child, and only what is raised in Python becomes an error of ours.

    Returns:
      The exit code: the child's, 128 + the signal that ended it, or 1 if another host is gone.
    """
    mark = os.environ.pop(_CHILD, "").partition(":")
    if mark[0] == str(os.getppid()):
        return _as_child(command, int(mark[2]))
    alone = threading.current_thread() is not threading.main_thread()  # signals reach the main thread only
    if not own or alone or os.name != "posix" or sys.argv[0] in ("", "-"):
        with gone_is_run_error():
            return command()
    return _Watch(join_timeout).run()


@contextlib.contextmanager
def gone_is_run_error() -> Iterator[None]:
    """Raises RunError for an error that says that another host is gone; others pass."""
    try:
        yield
    except Exception as error:
        if not _of_lost_host(error):
            raise
        raise RunError(GONE) from error


def joined() -> None:
    """Tells the watching process, if there is one, that the hosts have joined."""
    global _together
    _together = True
    _tell(_JOINED)


def check_port(coordinator: str) -> None:
    """Raises RunError if this host, as process 0, cannot listen on the port; jaxlib 0.10.2 ends by SIGSEGV there."""
    if "JAX_COORDINATOR_BIND_ADDRESS" in os.environ:
        return
    port = int(coordinator.rpartition(":")[2])
    family, address = (socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else (socket.AF_INET, "")
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a run that has just ended does not count
        try:
            probe.bind((address, port))
        except OSError as error:
            raise RunError(
                f"--parallel.coordinator {coordinator}: this host, which has process id 0, cannot listen on port "
                f"{port} ({error.strerror}); give another port, the same on all hosts"
            ) from error


def not_joined(seconds: int, reason: str = "") -> str:
    """The sentence of a host that waited for the others in vain, or that JAX refused for a reason."""
    late = not reason or "deadline" in reason.lower()
    return (
        f"the hosts of this run did not join {f'within {seconds} s' if late else f'({reason})'}: start the same "
        "command on every host, with the same --parallel.coordinator and --parallel.processes and each with its own "
        "--parallel.process-id; the coordinator is an address of the host of process 0, and the others must reach it"
    )


def _of_lost_host(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, was raised by a collective or a barrier that lost a host."""
    while error is not None:
        # jaxlib's errors are RuntimeError or ValueError, depending on where they arise; ours quote them.
        if isinstance(error, RuntimeError | ValueError) and _LOST_MESSAGE.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _as_child(command: Callable[[], int], descriptor: int) -> int:
    global _parent
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):  # Linux only: a killed parent takes this process with it
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.set_inheritable(descriptor, False)
    _parent = descriptor
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    try:
        code = command()
    except BaseException as error:
        if _together and _of_lost_host(error):
            _leave_lost()
        # Before JAX's own handler, which waits for the other hosts and aborts if they do not come.
        atexit.register(_tell_end, 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1))
        raise
    atexit.register(_tell_end, code)
    return code


def _leave_lost() -> None:
    """Ends the process without the farewell of the hosts, which would wait for the one that is gone."""
    _tell(_LOST)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)


def _tell_end(code: Any) -> None:
    _tell(_ENDED + b"%03d" % (code if isinstance(code, int) else 1))


def _tell(message: bytes) -> None:
    if _parent is not None:
        with contextlib.suppress(OSError):
            os.write(_parent, message)


class _Watch:
    """The parent: a child process, what it told, and the signals on their way to it."""

    def __init__(self, join_timeout: int):
        self._join_timeout, self._stderr = join_timeout, _Relay()
        self._told = b""
        self._received: list[tuple[int, float]] = []
        self._reached: list[tuple[int, float]] = []
        self._awaited: list[int] = []

    def run(self) -> int:
        """The exit code of the child, or what is made of it."""
        heard = [n for n in _FORWARDED if signal.getsignal(n) is not signal.SIG_IGN]  # nohup ignores SIGHUP
        note = lambda number, _: self._received.append((number, time.monotonic()))  # noqa: E731
        before = {number: signal.signal(number, note) or signal.SIG_DFL for number in heard}
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        try:
            child = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env=os.environ | {_CHILD: f"{os.getpid()}:{tell}"},
                stderr=subprocess.PIPE,
                pass_fds=(tell,),
            )
            os.close(tell)
            assert child.stderr is not None
            self._attend(child, told, child.stderr.fileno())
            return self._verdict(child.wait())
        finally:
            os.close(told)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _attend(self, child: subprocess.Popen, told: int, stderr: int) -> None:
        """Until the child has ended: reads what it tells and writes, and passes signals on."""
        open_, ended, late = {told, stderr}, False, time.monotonic() + 10
        while open_:
            ready = select.select(list(open_), [], [], 0.0 if ended else 0.1)[0]
            for descriptor in ready:
                data = os.read(descriptor, 65536)
                if not data:
                    open_.remove(descriptor)
                elif descriptor == told:
                    self._hear(data)
                else:
                    self._stderr.feed(data)
            if ended and not ready:
                return  # what is still open is held by a process that the child started
            self._stderr.release(_HELD)
            self._forward(child)
            if time.monotonic() > late and _JOINED not in self._told and not ended:
                late = float("inf")
                self._stderr.say(f"waiting up to {self._join_timeout} s for the other hosts of this run")
            ended = child.poll() is not None

    def _hear(self, data: bytes) -> None:
        self._told += data
        for number in data:
            if number in self._awaited:
                self._awaited.remove(number)
            elif number in _FORWARDED:
                self._reached.append((number, time.monotonic()))

    def _forward(self, child: subprocess.Popen) -> None:
        """Passes signals on, unless they reached the child too, as Ctrl-C and a scheduler's do: a second one kills."""
        now = time.monotonic()
        for received in [r for r in self._received if now - r[1] > _GRACE]:
            self._received.remove(received)
            same = [r for r in self._reached if r[0] == received[0] and r[1] > received[1] - 1]
            if same:
                self._reached.remove(same[0])
            else:
                self._awaited.append(received[0])
                child.send_signal(received[0])

    def _verdict(self, code: int) -> int:
        ended = re.search(_ENDED + rb"(\d{3})", self._told)
        if code < 0 and sys.stdout.isatty():
            print("\x1b[?25h", flush=True)  # a progress bar that was cut off has left the cursor hidden
        if code == -signal.SIGABRT and (status := self._stderr.fatal()) is not None:
            self._stderr.drop()
            if ended is not None:  # what it had to do was done; only the others did not say farewell
                return int(ended[1])
            self._stderr.say(f"error: {self._sentence(status)}")
            return 1
        if _LOST in self._told:
            if self._stderr.fatal() is not None:  # C++ said it too, and Python was faster to leave
                self._stderr.drop()
            self._stderr.release()
            self._stderr.say(f"error: {GONE}")
            return 1
        self._stderr.release()
        if code < 0:
            self._stderr.say(f"error: the process of this host was ended by {signal.Signals(-code).name}")
            return 128 - code
        return code

    def _sentence(self, status: str) -> str:
        if "incarnation" in status:
            return TWICE
        return GONE if _JOINED in self._told else not_joined(self._join_timeout, status)


class _Relay:
    """Passes a child's stderr on, and holds back what C++ writes: JAX's last words before it aborts."""

    def __init__(self):
        self._line, self._held, self._since = b"", b"", 0.0

    def feed(self, data: bytes) -> None:
        """Takes what was read."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if not self._held and _FROM_CPP.match(line):
                self._since = time.monotonic()
            if self._held or _FROM_CPP.match(line):
                self._held += line + b"\n"
            else:
                _write(line + b"\n")

    def release(self, seconds: float = 0.0) -> None:
        """Passes on what was held back for so long, and a line that has not ended."""
        if self._held and time.monotonic() - self._since >= seconds:
            _write(self._held)
            self._held = b""
        if self._line and not self._held and (not seconds or self._line[:1] not in b"WEF"):
            _write(self._line)
            self._line = b""

    def fatal(self) -> str | None:
        """JAX's status, if what is held back says that JAX aborted the process since other hosts are gone."""
        text = (self._held + self._line).decode(errors="replace")
        if "distributed service" not in text and "oordination" not in text:
            return None
        found = re.search(r"absl::Status: (.*?)(?: \[type\.|\n|$)", text)
        return found[1] if found else ""

    def drop(self) -> None:
        """Forgets what is held back, but for our own errors in it."""
        for line in self._held.split(b"\n"):
            if line.startswith(b"error: "):
                _write(line + b"\n")
        self._held = self._line = b""

    def say(self, sentence: str) -> None:
        """Writes a sentence of the parent's own."""
        _write(f"{sentence}\n".encode())


def _write(data: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more; the child must not wait for that
        while data:
            data = data[os.write(2, data) :]

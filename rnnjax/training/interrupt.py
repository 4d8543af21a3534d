"""Signals as a request that the training loop answers between two calls."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""What asks a run to save and leave: a supervisor, Ctrl-C, a closed terminal, and Slurm's warning before its limit."""

_FORCES = 3
"""So many Ctrl-C end the process at once, saved or not."""


class StopRequest:
    """Whether a signal asked the run to stop, and which: the first that did."""

    signal_number: int | None = None
    _interrupts = 0

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The handler. A second signal changes nothing, so that a save comes to its end; a third Ctrl-C does."""
        del frame
        self.signal_number = self.signal_number or number
        self._interrupts += number == signal.SIGINT
        if self._interrupts >= _FORCES:
            raise KeyboardInterrupt


@contextlib.contextmanager
def on_signals() -> Iterator[StopRequest]:
    """Catches :data:`STOPS` for the block.

    What the process was told to ignore (``nohup``, a shell's background) stays ignored. Outside the main thread
    signals cannot be caught, and nothing is.
    """
    request, before = StopRequest(), dict[int, Any]()
    if threading.current_thread() is threading.main_thread():
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, request.ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

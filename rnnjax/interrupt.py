"""SIGTERM and Ctrl-C as a request that the training loop answers between two calls."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether a signal asked the run to stop, and which."""

    signal_number: int | None = None


@contextlib.contextmanager
def on_signals() -> Iterator[StopRequest]:
    """Catches the first SIGTERM or SIGINT; a second one ends the process as it would without us.

    Outside the main thread signals cannot be caught, and nothing is.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        request.signal_number = number
        restore()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        restore()

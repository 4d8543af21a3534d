"""What other processes take of the CPU while something is timed; a benchmark beside others misleads."""

import contextlib
import os
import time
from pathlib import Path

_PROC = Path("/proc")


class Neighbours:
    """Counts from when it is made, by Linux' counters.

    Threads that wait for one another by spinning, as PyTorch's do, lose far more than the share that others take.
    """

    def __init__(self):
        self._before, self._began = self._counters(), time.monotonic()

    @staticmethod
    def _counters() -> tuple[float, float] | None:
        """Seconds that the processors were busy, and of this process and those that it started."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            user, nice, system = (_PROC / "stat").read_text(encoding="ascii").split()[1:4]
            ticks = os.sysconf("SC_CLK_TCK")
            return (int(user) + int(nice) + int(system)) / ticks, _ours() / ticks
        return None

    def cores(self, seconds: float | None = None) -> float | None:
        """Cores that others kept busy on average over the ``seconds`` since this was made; None if unknown."""
        seconds = time.monotonic() - self._began if seconds is None else seconds
        after = self._counters()
        if after is None or self._before is None or seconds <= 0:
            return None
        every, ours = (now - before for now, before in zip(after, self._before, strict=True))
        return max(0.0, every - ours) / seconds


def _ours() -> int:
    """Ticks of this process, of all that it started and are there, and of those of them that ended."""
    parents, taken = {}, {}
    for file in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # one that has ended meanwhile
            # The name, in brackets, may hold anything; behind it come the state, the parent, and the 12th to 15th
            # are its ticks in user and system mode and those of its children that were waited for.
            fields = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            number = int(file.parent.name)
            parents[number], taken[number] = int(fields[1]), sum(map(int, fields[11:15]))
    family, before = {os.getpid()}, 0
    while len(family) > before:
        before = len(family)
        family |= {number for number, parent in parents.items() if parent in family}
    return sum(taken.get(number, 0) for number in family)

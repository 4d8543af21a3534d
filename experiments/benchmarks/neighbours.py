"""What other processes take of the CPU while something is timed; a benchmark beside others misleads."""

import time


class Neighbours:
    """Counts from when it is made.

    Threads that wait for one another by spinning, as PyTorch's do, lose far more than the share that others take.
    """

    def __init__(self):
        self._before, self._began = self._counters(), time.monotonic()

    @staticmethod
    def _counters() -> tuple[float, float] | None:
        """Seconds that the processors were busy, and of this process and those that it started; None if unknown."""
        try:
            import psutil  # where benchmarks run on an accelerator it may be missing
        except ImportError:
            return None
        busy, family = psutil.cpu_times(), [psutil.Process()]
        family += family[0].children(recursive=True)
        ours = 0.0
        for process in family:
            try:
                ours += sum(process.cpu_times()[:4])  # its own and those of children that ended, by user and system
            except psutil.Error:  # one that has ended meanwhile
                continue
        return busy.user + busy.system + getattr(busy, "nice", 0.0), ours

    def cores(self) -> float | None:
        """Cores that others kept busy on average since this was made; None if unknown."""
        seconds, after = time.monotonic() - self._began, self._counters()
        if after is None or self._before is None or seconds <= 0:
            return None
        every, ours = (now - before for now, before in zip(after, self._before, strict=True))
        return max(0.0, every - ours) / seconds

"""Where a run's time goes: wall time and compiling over all its sessions, and the steady speed of its epochs."""

import time

from rnnjax.training.estimate import Estimate
from rnnjax.training.memory import peak_memory
from rnnjax.training.progress import Progress
from rnnjax.training.runner import Runner


class Clock:
    """The times of one session; what earlier sessions spent is in the progress that it is given by :meth:`go_on`.

    Attributes:
      initialize_seconds: until the state was there.
    """

    def __init__(self, program: Runner):
        self._started = self._saved = time.perf_counter()
        self._program = program
        self._compiled_before, self._counts_before = program.compile_seconds, program.parallel.cache_counts()
        self.initialize_seconds = 0.0
        self._progress = Progress()
        self._before = (0.0, 0.0, {})
        self._estimate = Estimate(lambda: time.perf_counter() - program.compile_seconds)
        self.measure_anew()

    def initialized(self) -> None:
        """Notes how long it took to make the state."""
        self.initialize_seconds = time.perf_counter() - self._started

    def go_on(self, progress: Progress) -> None:
        """Counts on from what earlier sessions spent."""
        self._progress = progress
        self._before = (progress.seconds, progress.compile_seconds, progress.compilation_cache)

    def seconds(self) -> dict[str, float]:
        """Wall time of all sessions so far, and what of it was compiling (first calls, one execution each included)."""
        return {
            "wall": self._before[0] + time.perf_counter() - self._started,
            "compile": self._before[1] + self._program.compile_seconds - self._compiled_before,
        }

    def compilation_cache(self) -> dict[str, int]:
        """Programs of all sessions so far that came from the cache of compiled ones, and that did not."""
        now, before, cache = self._program.parallel.cache_counts(), self._counts_before, self._before[2]
        if now is None or before is None:
            return cache
        return {name: cache.get(name, 0) + now[name] - before[name] for name in now}

    def keep(self) -> None:
        """Writes the times so far into the progress, which is about to be saved."""
        self._progress.seconds, self._progress.compile_seconds = self.seconds()["wall"], self.seconds()["compile"]
        self._progress.compilation_cache = self.compilation_cache()
        self._saved = time.perf_counter()

    def due(self, minutes: float) -> bool:
        """Whether it was that long ago that something was saved."""
        return time.perf_counter() - self._saved > 60 * minutes

    def first_step(self) -> None:
        """Notes how long it took until the run's first step was done."""
        if not self._progress.first_step_seconds:
            self._progress.first_step_seconds = time.perf_counter() - self._started

    # The steady speed of an epoch

    def measure_anew(self) -> None:
        """Starts the measurement of the steady speed: at an epoch's start, and behind a compilation."""
        self._mark, self._steady, self._waited = time.perf_counter(), 0, self._program.input_seconds
        self._estimate.skip()

    def trained(self, examples: int, steps: int, *, timed: bool) -> None:
        """Counts what a call trained on; ``timed``: it was not its program's first, which compiles."""
        self._steady += examples if timed else 0
        self._estimate.took(steps, timed=timed)

    def left(self) -> float | None:
        """Seconds to the last epoch's end, without what is still to be compiled; None where nothing is known yet."""
        return self._estimate.left(self._program.total_steps - self._progress.step)

    def epoch_validated(self) -> None:
        """An epoch is over, its validation included."""
        self._estimate.epoch_done()

    def rate(self) -> float | None:
        """Examples/s since then; None where none was counted."""
        seconds = time.perf_counter() - self._mark
        return self._steady / seconds if self._steady and seconds > 0 else None

    def input(self) -> dict[str, float]:
        """The share of the time that was spent waiting for data; of a streamed epoch, also the steps' own speed."""
        rate, seconds = self._program.streamed_step_rate, time.perf_counter() - self._mark
        if seconds <= 0:
            return {}
        waited = {"input_wait": (self._program.input_seconds - self._waited) / seconds}
        return waited if rate is None else waited | {"step_examples_per_second": rate}

    def epoch_done(self) -> float | None:
        """Adds the epoch to the run's steady speed, and gives its own."""
        rate = self.rate()
        if rate is not None:
            self._progress.steady_examples += self._steady
            self._progress.steady_seconds += time.perf_counter() - self._mark
            self._progress.steady_input_seconds += self._program.input_seconds - self._waited
        return rate

    def peak_memory(self) -> float:
        """The most memory that a session of the run has used so far, in MiB, see :mod:`rnnjax.training.memory`."""
        now, self._progress.peak_memory_of = peak_memory(self._program.parallel.devices)
        self._progress.peak_memory_mib = max(self._progress.peak_memory_mib, now)
        return self._progress.peak_memory_mib

"""A profile of a few steps, by ``jax.profiler``: what devices and host did when, for TensorBoard or Perfetto."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_STEPS = 8
"""Steps after which a profile ends, with the call that they are in; in an RNN each has thousands of events."""
_CALLS = 2
"""Fewest calls in it where there are as many: between two, one sees what the host does."""


class Profile:
    """One trace of a training: of its first calls whose programs are compiled already.

    Args:
      folder: where it goes, in a folder by its time below ``plugins/profile``, as TensorBoard wants it; None: there is
        none, and nothing here does anything.
      say: told in a line where the trace lies, or why there is none.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None]):
        self._folder, self._say = folder, say
        self._wanted, self._tracing = folder is not None, False
        self._first = self._steps = self._calls = 0
        self._result: Any = None

    def before(self, step: int, *, compiled: bool) -> None:
        """Before a call.

        Args:
          step: number of steps taken before it.
          compiled: whether its program is.
        """
        if self._tracing and not compiled:
            self.stop()
        if self._wanted and compiled:
            self._start(step)

    def after(self, steps: int, result: Any) -> bool:
        """After a call of so many steps, with what it returned; whether the trace ended with it."""
        if not self._tracing:
            return False
        self._steps, self._calls, self._result = self._steps + steps, self._calls + 1, result
        if self._steps < _STEPS or self._calls < _CALLS:
            return False
        self.stop()
        return True

    def _start(self, step: int) -> None:
        self._wanted, self._first = False, step + 1
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # each Python call is an event else, and they bury the rest
        try:
            jax.profiler.start_trace(str(self._folder), profiler_options=options)
            self._tracing = True
        except Exception as error:  # another trace is being taken, or the folder cannot be made
            self._say(f"note: no profile is taken ({_line(error)})")

    def stop(self) -> None:
        """Ends the trace, if there is one, once the devices have done what is in it."""
        if not self._tracing:
            return
        self._tracing = False
        try:
            jax.block_until_ready(self._result)
            jax.profiler.stop_trace()
        except Exception as error:  # a full disk
            self._say(f"note: the profile cannot be written ({_line(error)})")
            return
        assert self._folder is not None
        written = sorted(self._folder.glob("plugins/profile/*/*.trace.json.gz"), key=lambda path: path.parent.name)
        where = f"{written[-1]}: open it at ui.perfetto.dev, or the folder" if written else f"{self._folder}: open it"
        last = self._first + self._steps - 1
        self._say(f"profile of steps {self._first} to {last} in {where} by tensorboard --logdir (with xprof installed)")

    def end(self) -> None:
        """At the end of the training: what is traced is written, and where nothing could be, that is said."""
        self.stop()
        if self._wanted:
            self._wanted = False
            self._say(
                "note: no profile was taken: the training ended before it called a step that was compiled already; "
                "train for longer, or with fewer --train.steps-per-call"
            )


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]

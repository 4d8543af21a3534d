"""What a training is given beside its program: whom it tells, where it saves, and when it is to stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.interrupt import StopRequest

OnChunk = Callable[[int], None]
"""Called after each compiled call with the number of steps taken."""


class Recorder(Protocol):
    """Who is told how a training goes."""

    @property
    def written(self) -> int:
        """Length of its record in bytes, which a resumed run cuts it to."""
        ...

    def compiling(self, what: str) -> None:
        """Compiling begins, and nothing is heard until it is done."""

    def progress(
        self, step: int, metrics: Mapping[str, float], examples_per_second: float | None, left: float | None
    ) -> None:
        """How far the training is.

        Args:
          step: steps done.
          metrics: of the epoch's training so far.
          examples_per_second: without compiling; None: not known yet.
          left: seconds to the end, likewise.
        """

    def epoch(self, row: Mapping[str, Any], left: float | None = None) -> None:
        """It was validated: an epoch is done, or with ``--train.evaluate-every`` a part of one."""

    def reached(self, value: float, wanted: float, spent: Mapping[str, float]) -> None:
        """Validation reached the value that was waited for."""

    def say(self, message: str) -> None:
        """What else there is to tell."""


@dataclass
class Session:
    """What a training is given beside its program.

    Attributes:
      seed: of the run.
      checkpoints: where its state is saved.
      recorder: who is told how it goes.
      stop: whether it was asked to end.
      check_held: raises RunError where the work folder is no longer this process's.
      on_chunk: called after every compiled call.
      profile: folder of a profile; None: none is taken.
    """

    seed: int
    checkpoints: Checkpoints
    recorder: Recorder
    stop: StopRequest
    check_held: Callable[[], None]
    on_chunk: OnChunk
    profile: Path | None = None

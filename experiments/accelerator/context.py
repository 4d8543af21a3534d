"""What a part is given: how long it may take, where its data and its results lie, and the result that it fills."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TooLate(Exception):
    """A part's time is over; what it has is kept."""


def fresh() -> dict[str, Any]:
    """A result at its beginning: nothing compiled, nothing left out, and nothing for lack of time."""
    return {"compile_seconds": 0.0, "left_out": [], "partial": False}


@dataclasses.dataclass
class Context:
    """One part at work.

    Attributes:
      dry: a rehearsal at toy size.
      data: folder of prepared data, see :mod:`experiments.accelerator.prepared`; None: TFDS is asked.
      beside: folder for what lies beside the part's own file, such as the records of runs.
      deadline: by ``clock``, when the part is to end.
      result: what goes into the part's file; complete at any time.
      say: shows a line.
      clock: seconds, rising.
    """

    dry: bool
    data: Path | None
    beside: Path
    deadline: float
    result: dict[str, Any] = dataclasses.field(default_factory=fresh)
    say: Callable[[str], None] = lambda line: print(line, flush=True)
    clock: Callable[[], float] = time.monotonic

    def left(self) -> float:
        """Seconds until the part is to end."""
        return self.deadline - self.clock()

    def late(self, what: str, reason: str = "the part's time is over") -> None:
        """Notes what was not measured for lack of time: a later call may do the part again."""
        self.result["partial"] = True
        self.leave_out(what, reason)

    def leave_out(self, what: str, reason: str) -> None:
        """Notes what was not measured, and why."""
        self.result["left_out"].append({"what": what, "reason": reason})
        self.say(f"  left out: {what}: {reason}")

"""Which parts are begun, in what is left of the time, and what is done with each as it ends."""

import dataclasses
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.accelerator import written
from experiments.accelerator.context import Context
from experiments.accelerator.parts import Part
from experiments.benchmarks.harness import first_line
from rnnjax.errors import Interrupted, UsageError

DRY = 0.2
"""What of a part's first estimate a rehearsal is taken to need."""
MARGIN = 1.1
"""Of the seconds that a part took, what it is taken to need in the next call."""
LARGEST = 1.5
"""Of the seconds after which a part begins nothing more, what it can be taken to need: one that took longer waited for
something else."""


@dataclasses.dataclass
class Call:
    """One call of the command.

    Attributes:
      minutes: how long it may take; soft.
      device: name of the device, as its folder is called.
      out: folder in which that folder is made.
      done: a folder of earlier results, whose complete parts are not begun again; None: all are.
      data: folder of prepared data; None: TFDS is asked.
      dry: a rehearsal.
      circumstances: gives what stands in every file.
      began: by ``clock``, when the time began to run.
    """

    minutes: float
    device: str
    out: Path
    done: Path | None
    data: Path | None
    dry: bool
    circumstances: Callable[[], dict[str, Any]]
    began: float
    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = lambda line: print(line, flush=True)

    def __post_init__(self):
        if not 0 < self.minutes < float("inf"):
            raise UsageError(f"--minutes must be positive, got {self.minutes:g}")
        if self.done is not None and not self.done.is_dir():
            raise UsageError(f"--skip-done {self.done}: no such folder; name one that an earlier call wrote")

    @property
    def folder(self) -> Path:
        """Of this device's files."""
        return self.out / self.device

    def left(self) -> float:
        """Seconds until the call is to end."""
        return 60 * self.minutes - (self.clock() - self.began)

    def estimate(self, part: Part) -> float:
        """Seconds that a part is taken to need, by the newest file of the same kind of device where there is one."""
        places = [self.folder, *written.folders_of(self.done, self.device), written.COMMITTED / self.device]
        found = written.newest(places, part.name, dry=self.dry)
        first = part.first * (DRY if self.dry else 1)
        return min(found["estimate_seconds"], LARGEST * part.most) if found else first

    def run(self, parts: Sequence[Part]) -> tuple[list[str], list[Part]]:
        """Does the parts that fit.

        Returns:
          The names of those that failed, and the parts that were not begun, or not done in whole for lack of time.

        Raises:
          UsageError: if results cannot be written.
          Interrupted: at Ctrl-C, when the part's file is written.
        """
        failed, later = [], []
        written.check_folder(self.folder)
        for part in parts:
            if written.is_done(written.folders_of(self.done, self.device), part.name, dry=self.dry):
                self.say(f"{part.number} {part.name}: done already")
                continue
            needed, left = self.estimate(part), self.left()
            if needed > left:
                self.say(
                    f"{part.number} {part.name}: not begun: about {needed:.0f} s, and {max(left, 0):.0f} s are left"
                )
                later.append(part)
                continue
            result = self._do(part, needed)
            if result["reason"] is not None:
                failed.append(part.name)
            elif result["partial"]:
                later.append(part)
        return failed, later

    def _do(self, part: Part, estimate: float) -> dict[str, Any]:
        """Does a part and writes its file, whatever becomes of it; the file's content."""
        began = self.clock()
        most = self.left() if self.dry else max(part.most, estimate)  # a rehearsal goes through all of a part
        deadline = began + min(most, self.left())
        context = Context(self.dry, self.data, self.folder / part.name, deadline, say=self.say, clock=self.clock)
        reason = "interrupted"
        try:
            self.say(f"{part.number} {part.name}: {part.summary}")  # from here on a signal leaves the part's file
            part.function()(context)
            reason = None
        except Exception as error:  # a part that fails is a result, and the others go on
            if isinstance(error, Interrupted):
                raise
            reason = first_line(error)
        finally:
            seconds = self.clock() - began
            result = self._result(part, context, estimate, seconds, reason)
            path = self.folder / f"{part.name}.json"
            try:
                written.write(self.folder, part.name, result)
            except OSError as error:  # a full disk by now
                reason = result["reason"] = f"its file cannot be written: {first_line(error)}"
            whole = "done in part" if result["partial"] else "done"
            ended = whole if reason is None else f"not done: {reason}"
            self.say(f"  {ended}; {seconds:.0f} s, {context.result['compile_seconds']:.0f} of them compiling: {path}")
        return result

    def _result(
        self, part: Part, context: Context, estimate: float, seconds: float, reason: str | None
    ) -> dict[str, Any]:
        complete = reason is None and not context.result["partial"]
        after = MARGIN * seconds if complete else max(estimate, seconds)
        return {
            "part": part.name,
            "number": part.number,
            "dry": self.dry,
            "complete": complete,
            "reason": reason,
            "seconds": seconds,
            "estimate_seconds": after,
            **self.circumstances(),
            **context.result,
        }

    def how_to_go_on(self, later: Sequence[Part]) -> str:
        """The command that does what was not begun."""
        options = ["--minutes", f"{self.minutes:g}", "--parts", ",".join(str(part.number) for part in later)]
        options += ["--out", _shown(self.out), "--skip-done", _shown(self.out)]
        if self.dry:
            options.append("--dry")
        elif self.data is not None:
            options += ["--data", _shown(self.data)]
        return shlex.join(["python", "-m", "experiments.accelerator", *options])


def _shown(path: Path) -> str:
    """As it is shorter to type."""
    return min(str(path), os.path.relpath(path), key=len)

"""What a run shows on the terminal while it runs: a progress bar, or plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rnnjax import terminal
from rnnjax.tasks import Metric

_LINE_SECONDS = 30.0
"""Without a terminal, an epoch that takes longer says how far it is this often."""


class Display(Protocol):
    """What is shown of a training."""

    def start(self) -> None:
        """Before the first step."""

    def stop(self) -> None:
        """After the last, however it ended."""

    def compiling(self, what: str) -> None:
        """Nothing is heard until ``what`` is compiled."""

    def update(self, step: int, metrics: Mapping[str, float], rate: float | None, left: float | None) -> None:
        """How far it is, with the epoch's training metrics so far, examples/s, and the seconds that are left."""

    def epoch(self, row: Mapping[str, Any], left: float | None) -> None:
        """A validation, as in ``metrics.jsonl``, and the seconds that are left."""

    def say(self, message: str) -> None:
        """A line."""


def display(
    epochs: int, steps_per_epoch: int, *metrics: Metric, parts: int = 0, may_end_early: bool = False
) -> Display:
    """A bar on a terminal, and lines elsewhere.

    Args:
      epochs, steps_per_epoch: of the whole training.
      metrics: those that are shown beside the loss.
      parts: into how many the training is divided, a line at the end of each; 0: a line at each validation.
      may_end_early: whether the training may end before its last epoch.
    """
    shown = sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()
    of_run = _OfRun(epochs, steps_per_epoch, metrics, parts, may_end_early)
    return (_Bar if shown else _Lines)(of_run)


def duration(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def until_line(headline: Metric, wanted: float, spent: Mapping[str, float]) -> str:
    """When a run reached what was waited for."""
    return (
        f"{headline.show(wanted)} reached after epoch {spent['epoch']:g}, {spent['examples']:,.0f} examples "
        f"and {spent['seconds']:.1f} s, and {spent['compile_seconds']:.1f} s compiling"
    )


def shown_metrics(metrics: Mapping[str, float | None], *shown: Metric) -> str:
    """``loss 0.1234 accuracy 98.76%``; what is not known is left out."""
    forms = {"loss": "{:.4f}", **{metric.name: metric.shown for metric in shown}}
    known = {name: value for name in forms if (value := metrics.get(name)) is not None}
    return " ".join(f"{name.replace('_', ' ')} {forms[name].format(value)}" for name, value in known.items())


def _of_split(row: Mapping[str, Any], split: str) -> dict[str, Any]:
    return {name.removeprefix(f"{split}_"): value for name, value in row.items() if name.startswith(f"{split}_")}


def _position(epoch: float, epochs: int) -> str:
    """``epoch  3/12``, or within one ``epoch 2.40/12``."""
    done = f"{epoch:>{len(str(epochs))}}" if isinstance(epoch, int) else f"{epoch:.2f}"
    return f"epoch {done}/{epochs}"


def _epoch_line(row: Mapping[str, Any], epochs: int, *shown: Metric) -> str:
    return (
        _position(row["epoch"], epochs) + f"  train {shown_metrics(_of_split(row, 'train'), *shown)}"
        f"  validation {shown_metrics(_of_split(row, 'validation'), *shown)}"
        + (f"  {rate:,.0f} examples/s" if (rate := row["examples_per_second"]) is not None else "")
        + _input(row)
        + (f"  peak {peak / 1024:.2f} GiB" if (peak := row.get("peak_memory_mib")) else "")
    )


def _input(row: Mapping[str, Any]) -> str:
    """Of a streamed epoch, whether the data or the steps set the speed; of another, the wait for data that is felt."""
    wait, rate, steps = row.get("input_wait"), row["examples_per_second"], row.get("step_examples_per_second")
    if wait is None or rate is None:
        return ""
    if steps is None:
        return f", {wait:.0%} of the time waiting for data" if wait > 0.05 else ""
    bound = ": input-bound" if wait > 0.05 and rate < 0.9 * steps else ""
    return f" of the {steps:,.0f} that steps could take, {wait:.0%} of the time waiting for data{bound}"


class _OfRun:
    """What both displays write of a run."""

    def __init__(self, epochs: int, steps_per_epoch: int, metrics: Sequence[Metric], parts: int, may_end_early: bool):
        self.epochs, self.steps_per_epoch, self.total = epochs, steps_per_epoch, epochs * steps_per_epoch
        self.metrics, self._parts = metrics, parts
        self._left = "at most " if may_end_early else ""
        self._part = 0

    def numbers(self, metrics: Mapping[str, float], rate: float | None, left: float | None) -> str:
        """The training so far; what is not known yet is left out."""
        speed = [] if rate is None else [f"{rate:,.0f} examples/s"]
        return "  ".join([shown_metrics(metrics, *self.metrics), *speed, *self.left(left)])

    def left(self, seconds: float | None) -> list[str]:
        """How long it still takes."""
        return [f"left {self._left}{duration(seconds)}"] if seconds else []

    def line(self, row: Mapping[str, Any], left: float | None) -> str:
        """Of a validation."""
        return "  ".join([_epoch_line(row, self.epochs, *self.metrics), *self.left(left)])

    def due(self, epoch: float) -> bool:
        """Whether a validation has a line of its own: all have, or the first in each part of the training."""
        if not self._parts:
            return True
        before, self._part = self._part, int(epoch * self._parts / self.epochs)
        return self._part > before


class _Lines:
    """Plain lines, for logs and pipes: one an epoch, and one now and then within a long epoch."""

    def __init__(self, of_run: _OfRun):
        self._run = of_run
        self._said_compiling = False
        self._spoke = time.monotonic()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def compiling(self, what: str) -> None:
        if not self._said_compiling:  # further lengths are compiled on the way
            self.say(f"compiling {what} ...")
        self._said_compiling = True

    def update(self, step: int, metrics: Mapping[str, float], rate: float | None, left: float | None) -> None:
        if time.monotonic() - self._spoke > _LINE_SECONDS:
            self.say(f"step {step}/{self._run.total}  train {self._run.numbers(metrics, rate, left)}")

    def epoch(self, row: Mapping[str, Any], left: float | None) -> None:
        if self._run.due(row["epoch"]):
            self.say(self._run.line(row, left))

    def say(self, message: str) -> None:
        self._spoke = time.monotonic()
        terminal.say(message)


class _Bar:
    """A progress bar over all epochs, with a line above it for each epoch that is done."""

    def __init__(self, of_run: _OfRun):
        self._run = of_run
        self._console = Console(highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=of_run.total, numbers="")

    def start(self) -> None:
        self._attempt(self._bar.start)

    def stop(self) -> None:
        self._attempt(self._bar.stop)

    def compiling(self, what: str) -> None:
        self._attempt(self._bar.update, self._task, numbers=f"compiling {what} ...")

    def update(self, step: int, metrics: Mapping[str, float], rate: float | None, left: float | None) -> None:
        epoch = min((step - 1) // self._run.steps_per_epoch + 1, self._run.epochs)
        self._attempt(
            self._bar.update,
            self._task,
            completed=step,
            description=f"epoch {epoch}/{self._run.epochs}",
            numbers=self._run.numbers(metrics, rate, left),
        )

    def epoch(self, row: Mapping[str, Any], left: float | None) -> None:
        if self._run.due(row["epoch"]):
            self.say(_epoch_line(row, self._run.epochs, *self._run.metrics))

    def say(self, message: str) -> None:
        self._attempt(self._console.print, message)

    def _attempt(self, show: Callable, *values: Any, **options: Any) -> None:
        """A terminal that was closed costs the display, and no training."""
        try:
            show(*values, **options)
        except (OSError, ValueError) as error:
            terminal.lose("stdout", error)

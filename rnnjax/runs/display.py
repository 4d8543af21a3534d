"""What a run shows on the terminal while it runs: a progress bar, or plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Mapping
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

    def update(self, step: int, metrics: Mapping[str, float], examples_per_second: float) -> None:
        """How far it is, with the epoch's training metrics so far."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """A validation, as in ``metrics.jsonl``."""

    def say(self, message: str) -> None:
        """A line."""


def display(epochs: int, steps_per_epoch: int, *metrics: Metric) -> Display:
    """A bar on a terminal, and lines elsewhere.

    Args:
      epochs, steps_per_epoch: of the whole training.
      metrics: those that are shown beside the loss.
    """
    shown = sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()
    return (_Bar if shown else _Lines)(epochs, steps_per_epoch, *metrics)


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
    values = {name: metrics.get(name) for name in forms}
    return " ".join(f"{name} {forms[name].format(value)}" for name, value in values.items() if value is not None)


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


class _Estimate:
    """Time left, from the steps that this process took since its first update."""

    def __init__(self, total: int):
        self._total = total
        self._first: tuple[int, float] | None = None

    def left(self, step: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        done, seconds = step - self._first[0], now - self._first[1]
        return duration(seconds / done * (self._total - step)) if done else "-:--"


class _Lines:
    """Plain lines, for logs and pipes: one an epoch, and one now and then within a long epoch."""

    def __init__(self, epochs: int, steps_per_epoch: int, *metrics: Metric):
        self._epochs, self._total, self._metrics = epochs, epochs * steps_per_epoch, metrics
        self._estimate = _Estimate(self._total)
        self._left = "-:--"
        self._spoke = time.monotonic()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def update(self, step: int, metrics: Mapping[str, float], examples_per_second: float) -> None:
        self._left = self._estimate.left(step)
        if time.monotonic() - self._spoke > _LINE_SECONDS:
            self.say(
                f"step {step}/{self._total}  train {shown_metrics(metrics, *self._metrics)}"
                f"  {examples_per_second:,.0f} examples/s  left {self._left}"
            )

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.say(f"{_epoch_line(row, self._epochs, *self._metrics)}  left {self._left}")

    def say(self, message: str) -> None:
        self._spoke = time.monotonic()
        terminal.say(message)


class _Bar:
    """A progress bar over all epochs, with a line above it for each epoch that is done."""

    def __init__(self, epochs: int, steps_per_epoch: int, *metrics: Metric):
        self._epochs, self._steps_per_epoch, self._metrics = epochs, steps_per_epoch, metrics
        self._estimate = _Estimate(epochs * steps_per_epoch)
        self._console = Console(highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("compiling", total=epochs * steps_per_epoch, numbers="")

    def start(self) -> None:
        self._attempt(self._bar.start)

    def stop(self) -> None:
        self._attempt(self._bar.stop)

    def update(self, step: int, metrics: Mapping[str, float], examples_per_second: float) -> None:
        epoch = min((step - 1) // self._steps_per_epoch + 1, self._epochs)
        self._attempt(
            self._bar.update,
            self._task,
            completed=step,
            description=f"epoch {epoch}/{self._epochs}",
            numbers=f"{shown_metrics(metrics, *self._metrics)}  {examples_per_second:,.0f} examples/s  "
            f"left {self._estimate.left(step)}",
        )

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.say(_epoch_line(row, self._epochs, *self._metrics))

    def say(self, message: str) -> None:
        self._attempt(self._console.print, message)

    def _attempt(self, show: Callable, *values: Any, **options: Any) -> None:
        """A terminal that was closed costs the display, and no training."""
        try:
            show(*values, **options)
        except (OSError, ValueError) as error:
            terminal.lose("stdout", error)

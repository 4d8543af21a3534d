"""What a run tells while it runs: progress on the terminal, ``metrics.jsonl`` and TensorBoard events."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rnnjax import terminal
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Metric

_LINE_SECONDS = 30.0
"""Without a terminal, an epoch that takes longer says how far it is this often."""


class RunLog:
    """Writes a run's metrics and shows its progress; use it as a context manager.

    Args:
      workdir: where the files go.
      epochs, steps_per_epoch: of the whole training.
      step: number of steps taken before this process took the run up.
      written: length of ``metrics.jsonl`` in bytes that belongs to those steps; more is cut off.
      headline: the metric that is shown beside the loss.
    """

    def __init__(
        self, workdir: WorkDir, *, epochs: int, steps_per_epoch: int, step: int, written: int, headline: Metric
    ):
        self._path, self._folder, self._purge = workdir.metrics, workdir.tensorboard, step + 1 if step else None
        self._lost: set[str] = set()
        self._attempt("metrics.jsonl", lambda: _truncate(self._path, written))
        shown = sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()
        display = _Bar if shown else _Lines
        self._headline, self._display = headline, display(epochs, steps_per_epoch, headline)

    @functools.cached_property
    def _events(self) -> Any:
        # The import takes seconds where PyTorch is installed; the first step does not wait for it.
        from tensorboardX import SummaryWriter

        return SummaryWriter(str(self._folder), purge_step=self._purge)

    def __enter__(self) -> "RunLog":
        self._display.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.stop()
        if "_events" in self.__dict__:
            self._attempt("TensorBoard's events", self._events.close)

    @property
    def written(self) -> int:
        """Length of ``metrics.jsonl`` in bytes."""
        return self._path.stat().st_size if self._path.is_file() else 0

    def progress(self, step: int, metrics: Mapping[str, float], examples_per_second: float) -> None:
        """Shows how far the training is, with the epoch's training metrics so far."""
        self._display.update(step, metrics, examples_per_second)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Records one epoch."""
        self._attempt("metrics.jsonl", lambda: self._append(json.dumps(row) + "\n"))
        self._attempt("TensorBoard's events", lambda: self._add_events(row))
        self._display.epoch(row)

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(line)

    def _add_events(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name not in ("epoch", "step") and value is not None:
                self._events.add_scalar(name.replace("_", "/", 1), value, row["step"])

    def _attempt(self, name: str, write: Callable[[], Any]) -> None:
        """A log that cannot be written costs a note, and no training."""
        try:
            if name not in self._lost:
                write()
        except (OSError, ValueError) as error:
            self._lost.add(name)
            terminal.note(f"{name} in {self._path.parent} cannot be written ({error}); the training goes on without it")

    def reached(self, value: float, wanted: float, spent: Mapping[str, float]) -> None:
        """Says when validation reached what was waited for."""
        line = until_line(self._headline, wanted, spent)
        self.say(f"validation {self._headline.name} {self._headline.show(value)}: {line}")

    def say(self, message: str) -> None:
        """Shows one line."""
        self._display.say(message)


class NoLog:
    """Takes the place of :class:`RunLog` on every host but the first."""

    written = 0

    def __init__(self, *arguments: Any, **options: Any):
        del arguments, options

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def progress(self, step: int, metrics: Mapping[str, float], examples_per_second: float) -> None:
        """Shows nothing."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Records nothing."""

    def reached(self, value: float, wanted: float, spent: Mapping[str, float]) -> None:
        """Says nothing."""

    def say(self, message: str) -> None:
        """Says nothing."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``metrics.jsonl``; it is a log, so a damaged line is left out and noted."""
    if not path.is_file():
        return []
    rows, damaged = [], 0
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows += [row] if isinstance(row, dict) and "epoch" in row else []
            damaged += not (isinstance(row, dict) and "epoch" in row)
        except (ValueError, RecursionError):
            damaged += 1
    if damaged:
        terminal.note(f"{path}: {damaged} damaged line{'s' * (damaged > 1)} left out")
    return rows


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


def shown_metrics(metrics: Mapping[str, float | None], headline: Metric) -> str:
    """``loss 0.1234 accuracy 98.76%``; what is not known is left out."""
    values = {"loss": metrics.get("loss"), headline.name: metrics.get(headline.name)}
    forms = {"loss": "{:.4f}", headline.name: headline.shown}
    return " ".join(f"{name} {forms[name].format(value)}" for name, value in values.items() if value is not None)


def _of_split(row: Mapping[str, Any], split: str) -> dict[str, Any]:
    return {name.removeprefix(f"{split}_"): value for name, value in row.items() if name.startswith(f"{split}_")}


def _epoch_line(row: Mapping[str, Any], epochs: int, headline: Metric) -> str:
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
        f"  train {shown_metrics(_of_split(row, 'train'), headline)}"
        f"  validation {shown_metrics(_of_split(row, 'validation'), headline)}"
        + (f"  {rate:,.0f} examples/s" if (rate := row["examples_per_second"]) is not None else "")
        + _input(row)
    )


def _input(row: Mapping[str, Any]) -> str:
    """Of a streamed epoch, whether the data or the steps set the speed."""
    wait, rate, steps = row.get("input_wait"), row["examples_per_second"], row.get("step_examples_per_second")
    if wait is None or rate is None or steps is None:
        return ""
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

    def __init__(self, epochs: int, steps_per_epoch: int, headline: Metric):
        self._epochs, self._total, self._headline = epochs, epochs * steps_per_epoch, headline
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
                f"step {step}/{self._total}  train {shown_metrics(metrics, self._headline)}"
                f"  {examples_per_second:,.0f} examples/s  left {self._left}"
            )

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.say(f"{_epoch_line(row, self._epochs, self._headline)}  left {self._left}")

    def say(self, message: str) -> None:
        self._spoke = time.monotonic()
        terminal.say(message)


class _Bar:
    """A progress bar over all epochs, with a line above it for each epoch that is done."""

    def __init__(self, epochs: int, steps_per_epoch: int, headline: Metric):
        self._epochs, self._steps_per_epoch, self._headline = epochs, steps_per_epoch, headline
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
            numbers=f"{shown_metrics(metrics, self._headline)}  {examples_per_second:,.0f} examples/s  "
            f"left {self._estimate.left(step)}",
        )

    def epoch(self, row: Mapping[str, Any]) -> None:
        self.say(_epoch_line(row, self._epochs, self._headline))

    def say(self, message: str) -> None:
        self._attempt(self._console.print, message)

    def _attempt(self, show: Callable, *values: Any, **options: Any) -> None:
        """A terminal that was closed costs the display, and no training."""
        try:
            show(*values, **options)
        except (OSError, ValueError) as error:
            terminal.lose("stdout", error)


def _truncate(path: Path, size: int) -> None:
    """Cuts off what belongs to no checkpoint. A log that is shorter was cut by somebody else: that is said."""
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    path.touch()
    there = path.stat().st_size
    if there < size:
        terminal.note(f"{path} has {there:,} of {size:,} bytes: epochs are missing in it, and in what is drawn of it")
    with path.open("r+b") as file:
        file.truncate(min(size, there))
        if there and size:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

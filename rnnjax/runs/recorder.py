"""Who is told how a training goes: the terminal, the run's own log, and loggers."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnjax.config import to_json
from rnnjax.runs import environment
from rnnjax.runs.display import display, until_line
from rnnjax.runs.log import MetricsFile
from rnnjax.runs.loggers import Guarded, Logger, TensorBoard, WandB
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Metric
from rnnjax.training.progress import Progress
from rnnjax.training.runner import Runner


def recorder(
    program: Runner, workdir: WorkDir, seed: int, progress: Progress, loggers: Sequence[Logger], parts: int = 0
) -> "RunLog | NoLog":
    """Who is told: on the first host all, and on others nobody; ``parts`` as of :class:`RunLog`."""
    experiment, step, train = program.experiment, progress.step, program.experiment.train
    if not program.parallel.is_primary:
        return NoLog()
    named: list[tuple[str, Logger]] = []
    if "tensorboard" in experiment.train.log:
        named.append((f"TensorBoard's events in {workdir.root}", TensorBoard(workdir.tensorboard, step)))
    if "wandb" in experiment.train.log:
        config = environment.without_folders(to_json(experiment.config)) | {"seed": seed}
        about = {"project": experiment.name, "name": f"{experiment.name}-seed-{seed}", "config": config}
        named.append(("the log of W&B", WandB(workdir.root, identity=workdir.read_run().id, **about)))
    named += [(f"the log of {type(logger).__name__}", logger) for logger in loggers]
    return RunLog(
        workdir,
        epochs=train.epochs,
        steps_per_epoch=program.steps_per_epoch,
        written=progress.written,
        headline=program.task.headline,
        chooser=program.task.chooser,
        loggers=named,
        parts=parts,
        may_end_early=bool(train.patience) or train.until is not None,
    )


class RunLog:
    """Tells the terminal, ``metrics.jsonl`` and loggers; use it as a context manager, which closes them.

    Args:
      workdir: of the run.
      epochs, steps_per_epoch: of the whole training.
      written: length of ``metrics.jsonl`` in bytes that belongs to the steps taken; more is cut off.
      headline: the metric that is shown beside the loss.
      chooser: the one that chooses the best checkpoint, where it is another.
      loggers: by what a note calls them.
      parts, may_end_early: see :func:`rnnjax.runs.display.display`.
    """

    def __init__(
        self,
        workdir: WorkDir,
        *,
        epochs: int,
        steps_per_epoch: int,
        written: int,
        headline: Metric,
        chooser: Metric | None = None,
        loggers: Sequence[tuple[str, Logger]] = (),
        parts: int = 0,
        may_end_early: bool = False,
    ):
        self._file = MetricsFile(workdir.metrics)
        self._record = Guarded(self._file, f"{workdir.metrics.name} in {workdir.root}")
        self._record.attempt(lambda: self._file.begin(written))
        self._loggers = [Guarded(logger, name) for name, logger in loggers]
        self._headline = headline
        shown = dict.fromkeys((headline, chooser or headline))
        self._display = display(epochs, steps_per_epoch, *shown, parts=parts, may_end_early=may_end_early)

    def __enter__(self) -> "RunLog":
        self._display.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.stop()
        for logger in (self._record, *self._loggers):
            logger.close()

    @property
    def written(self) -> int:
        """Length of ``metrics.jsonl`` in bytes."""
        return self._file.written

    def compiling(self, what: str) -> None:
        """Shows that nothing is heard until ``what`` is compiled."""
        self._display.compiling(what)

    def progress(
        self, step: int, metrics: Mapping[str, float], examples_per_second: float | None, left: float | None
    ) -> None:
        """Shows how far the training is, with the epoch's training metrics so far."""
        self._display.update(step, metrics, examples_per_second, left)

    def epoch(self, row: Mapping[str, Any], left: float | None = None) -> None:
        """Records a validation."""
        values = {name: value for name, value in row.items() if name != "step"}
        self._record.scalars(row["step"], values)
        known = {name: value for name, value in values.items() if value is not None}
        for logger in self._loggers:
            logger.scalars(row["step"], known)
        self._display.epoch(row, left)

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

    def compiling(self, what: str) -> None:
        """Shows nothing."""

    def progress(
        self, step: int, metrics: Mapping[str, float], examples_per_second: float | None, left: float | None
    ) -> None:
        """Shows nothing."""

    def epoch(self, row: Mapping[str, Any], left: float | None = None) -> None:
        """Records nothing."""

    def reached(self, value: float, wanted: float, spent: Mapping[str, float]) -> None:
        """Says nothing."""

    def say(self, message: str) -> None:
        """Says nothing."""

"""Where a training's figures go beside the terminal: TensorBoard, Weights & Biases, or a logger of one's own."""

import contextlib
import functools
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rnnjax import terminal
from rnnjax.errors import RunError, UsageError


class Logger(Protocol):
    """Takes the figures of a training. One of one's own is handed over by ``rnnjax.fit(..., loggers=[...])``.

    It is called by the first host alone, after each validation. One that raises an error is noted and called no more;
    the training goes on.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Takes figures by name.

        Args:
          step: number of steps taken. A resumed run tells again what it had told of steps after its checkpoint.
          values: ``epoch`` (a fraction within one), ``train_...`` and ``validation_...`` metrics, ``learning_rate``,
            ``examples_per_second`` and what else a line of ``metrics.jsonl`` has; NaN and infinities among them.
        """
        ...

    def close(self) -> None:
        """Called once, at the end of the training, however it ended."""
        ...


class TensorBoard:
    """Event files, one scalar a figure; what is not finite is left out, since a chart has no place for it.

    Args:
      folder: where they go.
      step: number of steps taken before; what the files say of later ones is purged. 0: nothing is.
    """

    def __init__(self, folder: Path, step: int = 0):
        self._folder, self._purge = folder, step + 1 if step else None

    @functools.cached_property
    def _events(self) -> Any:
        # The import takes seconds where PyTorch is installed; the first step does not wait for it.
        from tensorboardX import SummaryWriter

        return SummaryWriter(str(self._folder), purge_step=self._purge)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes all but the epoch; a chart's group is what stands before the first underscore of a name."""
        for name, value in values.items():
            if name != "epoch" and math.isfinite(value):
                self._events.add_scalar(name.replace("_", "/", 1), value, step)

    def close(self) -> None:
        """Writes what is left."""
        if "_events" in self.__dict__:
            self._events.close()


class WandB:
    """Weights & Biases, as its environment variables say (``WANDB_PROJECT``, ``WANDB_MODE=offline``, ...).

    Args:
      folder: where its own files go.
      project: name of the project, unless ``WANDB_PROJECT`` says another.
      name: of the run.
      identity: of the run, by which a resumed one goes on.
      config: JSON values.

    Raises:
      UsageError: if it is not installed.
      RunError: if it does not start.
    """

    def __init__(self, folder: Path, *, project: str, name: str, identity: str, config: Mapping[str, Any]):
        check_installed(("wandb",))
        import wandb  # pyright: ignore[reportMissingImports]

        given = {} if "WANDB_PROJECT" in os.environ else {"project": project}
        try:
            self._run: Any = wandb.init(
                dir=str(folder), name=name, id=identity, resume="allow", config=dict(config), **given
            )
        except Exception as error:  # its own, and those of what it connects to
            raise RunError(
                f"Weights & Biases does not start ({said(error)}); log in by wandb login, set WANDB_MODE=offline, or "
                "leave wandb out of --train.log"
            ) from error

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Logs all under their names in ``metrics.jsonl``."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Waits until all is written."""
        self._run.finish()


class Guarded:
    """A logger whose failure costs a note, once, and no training.

    Args:
      logger: which.
      name: what the note calls it.
    """

    def __init__(self, logger: Any, name: str):
        self._logger, self._name, self._lost = logger, name, False

    def attempt(self, write: Callable[[], Any]) -> None:
        """Calls a function of the logger, unless it has failed before."""
        if self._lost:
            return
        try:
            write()
        except Exception as error:  # a logger raises what it likes
            self._lost = True
            terminal.note(f"{self._name} cannot be written ({said(error)}); the training goes on without it")

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """As the logger's."""
        self.attempt(lambda: self._logger.scalars(step, values))

    def close(self) -> None:
        """As the logger's; of one that has failed, silently."""
        if self._lost:
            with contextlib.suppress(Exception):
                self._logger.close()
        self.attempt(self._logger.close)


def said(error: Exception) -> str:
    """An error in a line."""
    return (str(error) or type(error).__name__).splitlines()[0]


def check_installed(names: Sequence[str]) -> None:
    """Raises UsageError where a logger of ``--train.log`` needs a package that is not installed."""
    if "wandb" in names and "wandb" not in sys.modules and importlib.util.find_spec("wandb") is None:
        raise UsageError("--train.log wandb needs the package wandb, which is not installed: pip install wandb")


def check_loggers(loggers: Sequence[Any]) -> None:
    """Raises UsageError where something else than a list of loggers was handed over."""
    if not isinstance(loggers, Sequence) or isinstance(loggers, str):  # what is read once would be empty afterwards
        raise UsageError(f"loggers must be a list of loggers, such as [logger], got {loggers!r:.80}")
    for logger in loggers:
        if isinstance(logger, type) or not all(callable(getattr(logger, name, None)) for name in ("scalars", "close")):
            raise UsageError(f"a logger has scalars(step, values) and close(), got {logger!r:.80}")

"""From an experiment to its finished run, and the road that the command line and a notebook share."""

import dataclasses
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnjax import terminal
from rnnjax.errors import Interrupted, RunError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs import announce, longer, small
from rnnjax.runs.init_from import Asked, asked, check_places
from rnnjax.runs.log import read_metrics
from rnnjax.runs.loggers import Logger, check_installed, check_loggers
from rnnjax.runs.predict import Predictor, load
from rnnjax.runs.running import run
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.runner import Runner
from rnnjax.training.session import OnChunk
from rnnjax.training.state import check_seed

_NOTHING_KEPT = "nothing of the run is kept, since fit was given no workdir"


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
      experiment, seed: what was run.
      record: as it is written to ``result.json``.
      history: a row an epoch, as in ``metrics.jsonl``.
      predictor: the best checkpoint's model: ``predictor(raw)`` answers, ``predictor.logits(raw)`` are its outputs.
      workdir: the folder of the run; None where it was not to be kept.
    """

    experiment: Experiment
    seed: int
    record: dict[str, Any]
    history: list[dict[str, Any]]
    predictor: Predictor
    workdir: Path | None = None

    @property
    def metrics(self) -> dict[str, dict[str, float] | None]:
        """The task's metrics by split: ``train`` (of the last epoch), ``validation`` and ``test`` (of the best)."""
        return self.record["metrics"]

    @property
    def headline(self) -> float:
        """The headline metric on test, or on validation where there is no test split."""
        metrics = self.metrics["test"] or self.metrics["validation"] or {}
        return metrics[self.experiment.task.headline.name]

    def __repr__(self) -> str:
        shown = {
            split: values and {name: round(value, 6) for name, value in values.items()}
            for split, values in self.metrics.items()
        }
        return f"Result({self.experiment.name}, seed {self.seed}, {shown})"


def fit(
    experiment: Experiment,
    *,
    seed: int = 0,
    workdir: str | Path | None = None,
    fresh: bool = False,
    on_chunk: OnChunk | None = None,
    init_from: str | Path | Sequence[str | Path] | None = None,
    init_parts: Sequence[str] = (),
    loggers: Sequence[Logger] = (),
) -> Result:
    """Trains an experiment from Python: what its command line does, in a notebook or a program of one's own.

    Args:
      experiment: data, model, task and how it is trained.
      seed: of the parameters, the order of the data, dropout and augmentation.
      workdir: the folder of the run, in which the same call resumes what was interrupted; None: nothing is kept.
      fresh: delete the run that is in the folder.
      on_chunk: called after every compiled call with the number of steps taken.
      init_from: the work folder of another run, whose weights a run that is fresh begins with where path and shape are
        the same: those of its best checkpoint, or with ``:latest`` behind the folder, of its newest; their averages,
        where it has any. A run that began from other weights is another run. ``"MODULE=FOLDER"``, or a list of such,
        fills a module of the model, as if that were the whole model.
      init_parts: regular expressions of which one must be found in a parameter's path; none: all that fits is taken.
      loggers: who is told the figures of each validation, beside those of ``train.log``; see
        :class:`rnnjax.runs.loggers.Logger`. They are closed at the end of the training.

    Returns:
      Metrics, history and a predictor; of a finished run, without training it again.

    Raises:
      UsageError, DataError: where the parts do not fit, or the folder holds another run.
      RunError: if the loss is no longer finite, or a checkpoint cannot be written or read.
      Interrupted: if Ctrl-C or a signal stopped the run, after saving (where a folder was given).
    """
    if not isinstance(experiment, Experiment):
        raise UsageError(f"fit needs an rnnjax.Experiment(data=..., model=...), got {experiment!r:.80}")
    check_seed(seed)
    wanted = asked(init_from, init_parts)
    if experiment.begins and wanted is None:
        named = ", ".join(f"'{module}=FOLDER'" for module in experiment.begins)
        raise UsageError(f"{experiment.name} begins from other runs' weights: give init_from=[{named}]")
    check_places(wanted, experiment.begins, [] if workdir is None else [Path(workdir)], fresh=fresh)
    check_loggers(loggers)
    told: Any = {"on_chunk": on_chunk, "loggers": loggers, "init": wanted}
    if experiment.train.profile and workdir is None:
        raise UsageError("train.profile writes into the folder of the run, which fit was not given; give it workdir=")
    started = Started(experiment, lenient=True)
    if workdir is not None:
        return started.fit(seed, Path(workdir), fresh=fresh, **told)
    with tempfile.TemporaryDirectory(prefix="rnnjax-") as folder:
        try:
            result = started.fit(seed, Path(folder) / "run", fresh=fresh, **told)
        except Interrupted as stopped:  # what it says of a save is true of a folder that is about to go
            number = stopped.exit_code - 128
            raise Interrupted(f"stopped by {signal.Signals(number).name}; {_NOTHING_KEPT}", number) from None
        except RunError as error:
            raise type(error)(f"{error}; {_NOTHING_KEPT}") from error
    return dataclasses.replace(result, workdir=None)


class Started:
    """An experiment with its data read and its program made, for all seeds of a process.

    Args:
      experiment: what is run.
      began: time at which this process began with it, by :func:`time.perf_counter`; None: now.
      lenient: where JAX runs already, with fewer CPU devices than are asked for, go on with those and say so.

    Attributes:
      before: seconds spent on ``imports`` and on ``data``; they go into results.
    """

    def __init__(self, experiment: Experiment, began: float | None = None, *, lenient: bool = False):
        from rnnjax import data
        from rnnjax.data import cache
        from rnnjax.training import parallel

        check_installed(experiment.train.log)
        imported = time.perf_counter()
        try:
            parallel.start(batch_size=experiment.data.batch_size, **dataclasses.asdict(experiment.parallel))
        except UsageError as error:
            if not lenient:
                raise
            terminal.note(f"{str(error).split(';')[0]}; the training goes on with those")
        parallel.keep_compiled(cache.folder(None) / "xla" if experiment.train.compilation_cache else None)
        dataset = data.load(experiment.data)
        settled = experiment.settled(dataset)
        dataset, spread = small.spread(settled, dataset, parallel.DataParallel())
        self.experiment, dataset = small.fitted(settled, dataset, spread.device_count)
        self.before = {"imports": imported - (began or imported), "data": time.perf_counter() - imported}
        self.program = Runner(self.experiment, dataset, spread)

    def fit(
        self,
        seed: int,
        root: Path,
        *,
        fresh: bool = False,
        on_chunk: OnChunk | None = None,
        init: Asked | None = None,
        loggers: Sequence[Logger] = (),
        parts: int = 0,
        again: bool = False,
    ) -> Result:
        """One seed; see :func:`fit`.

        Args:
          seed, root, fresh, on_chunk, init, loggers: as there.
          parts: see :func:`rnnjax.runs.running.run`.
          again: an earlier seed has said what data and model are.
        """
        experiment, primary = self.experiment, self.program.parallel.is_primary
        wanted = {"tested": experiment.train.test, "epochs": experiment.train.epochs}
        done = not fresh and WorkDir(root, experiment.kinds).finished(**wanted) is not None
        if primary and not done:
            announce.print_start(self.program, seed, root, again=again)
        told: Any = {"on_chunk": on_chunk, "loggers": loggers, "init": init, "parts": parts}
        record = run(self.program, seed, root, fresh=fresh, before=self.before, **told)
        if primary and done:
            more = "" if longer.obstacle(experiment.optim) else ", more --train.epochs train it longer"
            terminal.say(f"seed {seed} is finished already in {root}; --fresh trains it again{more}")
        workdir = WorkDir(root, experiment.kinds)
        return Result(experiment, seed, record, read_metrics(workdir.metrics), load(root, experiment), root)

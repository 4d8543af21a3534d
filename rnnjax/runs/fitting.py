"""From an experiment to a finished run on disk: the work folder, the training, the result."""

import contextlib
import dataclasses
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnjax import digests, terminal
from rnnjax.data import preprocess
from rnnjax.errors import DataError, Interrupted, RnnjaxError, RunError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs import announce, environment, longer
from rnnjax.runs.finish import finish
from rnnjax.runs.init_from import Asked, Beginning, asked, beginning
from rnnjax.runs.log import read_metrics
from rnnjax.runs.loggers import Logger, check_installed, check_loggers
from rnnjax.runs.predict import Predictor, load
from rnnjax.runs.record import Run, described_parts
from rnnjax.runs.recorder import recorder
from rnnjax.runs.resume import restored
from rnnjax.runs.workdir import WorkDir, locked, open_run, refuse_another
from rnnjax.training.checkpoint import Checkpoints, check_folder
from rnnjax.training.clock import Clock
from rnnjax.training.interrupt import StopRequest, on_signals
from rnnjax.training.loop import Training
from rnnjax.training.runner import Runner
from rnnjax.training.session import OnChunk, Session
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
    init_from: str | Path | None = None,
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
        where it has any. A run that began from other weights is another run.
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
        self.experiment, dataset = experiment, data.load(experiment.data)
        self.before = {"imports": imported - (began or imported), "data": time.perf_counter() - imported}
        self.program = Runner(experiment, dataset)

    def fit(
        self,
        seed: int,
        root: Path,
        *,
        fresh: bool = False,
        on_chunk: OnChunk | None = None,
        init: Asked | None = None,
        loggers: Sequence[Logger] = (),
    ) -> Result:
        """One seed; see :func:`fit`."""
        experiment, primary = self.experiment, self.program.parallel.is_primary
        wanted = {"tested": experiment.train.test, "epochs": experiment.train.epochs}
        done = not fresh and WorkDir(root, experiment.kinds).finished(**wanted) is not None
        if primary and not done:
            announce.print_start(self.program, seed, root)
        told: Any = {"on_chunk": on_chunk, "loggers": loggers, "init": init}
        record = run(self.program, seed, root, fresh=fresh, before=self.before, **told)
        if primary and done:
            more = "" if longer.obstacle(experiment.optim) else ", more --train.epochs train it longer"
            terminal.say(f"seed {seed} is finished already in {root}; --fresh trains it again{more}")
        workdir = WorkDir(root, experiment.kinds)
        return Result(experiment, seed, record, read_metrics(workdir.metrics), load(root, experiment), root)


def run(
    program: Runner,
    seed: int,
    root: str | Path,
    *,
    fresh: bool = False,
    on_chunk: OnChunk | None = None,
    before: Mapping[str, float] | None = None,
    init: Asked | None = None,
    loggers: Sequence[Logger] = (),
) -> dict[str, Any]:
    """Trains, or resumes, or returns what is finished; then evaluates the best checkpoint on the test split.

    Args:
      program: an experiment's model, its data and its steps.
      seed: of the parameters, the order of the data, dropout and augmentation.
      root: the work folder of this run.
      fresh: delete the run that is in it.
      on_chunk: called after every compiled call.
      before: seconds that this process spent on ``imports`` and on ``data``; they go into the result.
      init: which weights of another run a run that is fresh begins with; None: fresh ones.
      loggers: beside those of the experiment's ``train.log``.

    Returns:
      The result, as it is written to ``result.json``.

    Raises:
      UsageError: if the folder holds another run, or this run on other data.
      RunError: if another process trains there, the loss is no longer finite, or a checkpoint cannot be written
        or read.
      AuditError: if a chunk that was computed twice gave two answers.
      Interrupted: if a signal stopped the run, after saving.
    """
    check_seed(seed)
    workdir, parallel = WorkDir(Path(root), program.experiment.kinds), program.parallel
    begins = beginning(init, workdir, program, fresh)
    ours = _described(program, seed, begins)
    if not fresh and (result := _finished(workdir, ours, program)) is not None:
        return result  # of which nothing is written, not even the lock
    with contextlib.ExitStack() as held:
        check_held = _take_up(held, workdir, program, ours, fresh)
        with on_signals() as stop, _checkpoints(workdir) as checkpoints:
            session = (seed, checkpoints, stop, check_held, on_chunk or (lambda step: None))
            result = _train(program, workdir, session, before or {}, begins, loggers)
    if parallel.any_process(stop.signal_number is not None):
        number = stop.signal_number or signal.SIGTERM
        raise Interrupted(f"stopped by {signal.Signals(number).name}; the run in {root} was just finished", number)
    return result


def _take_up(
    held: contextlib.ExitStack, workdir: WorkDir, program: Runner, ours: Run, fresh: bool
) -> Callable[[], None]:
    """Locks and opens the work folder, on the first host for all; every host raises where it cannot be."""
    refusal: RnnjaxError | None = None
    check_held: Callable[[], None] = lambda: None  # noqa: E731
    if program.parallel.is_primary:
        try:
            check_held = held.enter_context(locked(workdir))
            _prepare(workdir, program, ours, fresh)
        except RnnjaxError as error:
            refusal = error
    if program.parallel.any_process(refusal is not None):  # no host waits for one that has left
        raise refusal or RunError("the first host refused the work folder; see its message")
    return check_held


def _train(
    program: Runner,
    workdir: WorkDir,
    session: tuple[int, Checkpoints, StopRequest, Callable[[], None], OnChunk],
    before: Mapping[str, float],
    begins: Beginning,
    loggers: Sequence[Logger],
) -> dict[str, Any]:
    seed, checkpoints, stop, check_held, on_chunk = session
    clock, here = Clock(program), environment.environment()  # what runs is what was there at the start
    fresh_state = program.create_state(seed)
    clock.initialized()
    state, progress = restored(workdir, checkpoints, fresh_state, program.parallel, program.task.rank)
    said: list[str] = []
    if state is fresh_state:  # nothing was saved yet
        state, said = begins.state(fresh_state, program.optimizer.transform), begins.lines(program)
    if progress.epoch > program.experiment.train.epochs:  # its record was lost, and said for how long it was trained
        raise UsageError(f"{workdir.root} was trained for {progress.epoch} epochs already; give --train.epochs as many")
    clock.go_on(progress)
    check_folder(checkpoints.folder)
    progress.sessions += 1
    if here not in progress.environments[-1:]:
        progress.environments.append(here)
    log = recorder(program, workdir, seed, progress, loggers)
    profile = workdir.profile if program.experiment.train.profile and program.parallel.is_primary else None
    told = Session(seed, checkpoints, log, stop, check_held, on_chunk, profile)
    training = Training(program, told, clock, state, progress)
    with log:
        if progress.step:
            log.say(f"resuming {workdir.root} after step {progress.step} of {program.total_steps}")
        for line in said:
            log.say(line)
        training.run()
    return finish(training, seed, fresh_state, workdir, checkpoints, before)


def _described(program: Runner, seed: int, begins: Beginning) -> Run:
    dataset, experiment = program.dataset, program.experiment
    return Run(
        experiment.name,
        seed,
        experiment.config,
        data=dataset.fingerprint,
        preprocess=digests.of_json(dataset.preprocess.to_json()),
        model=program.model_identity,
        parts=described_parts(program.task, experiment.optim),
        spec=dataset.spec.to_json(),
        init_from=begins.record,
    )


def _finished(workdir: WorkDir, ours: Run, program: Runner) -> dict[str, Any] | None:
    """The result of this run, if it is finished. Raises UsageError where the folder holds another."""
    try:
        theirs = workdir.read_run()
    except UsageError:  # there is none, or a damaged record, which is mended where the folder is taken up
        return None
    refuse_another(workdir, ours, theirs)
    if not _holds(workdir, program):
        return None  # it is written anew, as a damaged record is
    train = program.experiment.train
    return workdir.finished(tested=train.test, epochs=train.epochs)


def _prepare(workdir: WorkDir, program: Runner, ours: Run, fresh: bool) -> None:
    """Makes or takes up the work folder; its preprocessing belongs to its checkpoints and is never replaced."""
    marks = [] if fresh else Checkpoints(workdir.checkpoints).marks()
    found = open_run(workdir, ours, marks=marks, fresh=fresh)
    if not workdir.preprocess.is_file():
        preprocess.save(program.dataset.preprocess, workdir.preprocess)
    elif not _holds(workdir, program):
        if not found.digested:
            raise UsageError(
                f"{workdir.root} was trained on other data than {program.dataset.name} is now: its preprocessing "
                "differs; use the same data, --fresh to start over, or another --runs-dir"
            )
        terminal.note(f"{workdir.preprocess} is not as it was written; it is written anew")
        preprocess.save(program.dataset.preprocess, workdir.preprocess)


def _holds(workdir: WorkDir, program: Runner) -> bool:
    try:
        kinds = (type(program.dataset.preprocess),)
        return preprocess.load(workdir.preprocess, kinds) == program.dataset.preprocess
    except DataError:
        return False


def _checkpoints(workdir: WorkDir) -> Checkpoints:
    found = workdir.read_run()
    return Checkpoints(workdir.checkpoints, found.mark(), digested=found.digested)

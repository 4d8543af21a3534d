"""One run in its work folder: locked, taken up where it was left, trained, and finished."""

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnjax import digests, terminal
from rnnjax.data import preprocess
from rnnjax.errors import DataError, Interrupted, RnnjaxError, RunError, UsageError
from rnnjax.files import write_text
from rnnjax.runs import environment
from rnnjax.runs.finish import finish
from rnnjax.runs.init_from import Asked, Beginning, beginning
from rnnjax.runs.loggers import Logger
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
    parts: int = 0,
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
      parts: lines of epochs on the terminal, spread over the training; 0: one for each validation.

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
            result = _train(program, workdir, session, before or {}, begins, loggers, parts)
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
    parts: int,
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
    log = recorder(program, workdir, seed, progress, loggers, parts)
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
        preprocess=digests.of_json(dataset.preprocess.identity()),
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
    _keep_understood(workdir, program)


def _keep_understood(workdir: WorkDir, program: Runner) -> None:
    """Writes what was understood of the data, as it is said at the start, where there is anything to say."""
    said = [*program.dataset.understood, *(f"note: {note}" for note in program.dataset.notes)]
    lines = "".join(f"{line}\n" for line in said).encode("utf-8", "replace").decode("utf-8")
    try:
        if said:
            write_text(workdir.data, lines)
    except OSError as error:  # it was said, and no run ends for it
        terminal.note(f"{workdir.data} cannot be written: {error.strerror or error}")


def _holds(workdir: WorkDir, program: Runner) -> bool:
    try:
        kinds = (type(program.dataset.preprocess),)
        return preprocess.load(workdir.preprocess, kinds) == program.dataset.preprocess
    except DataError:
        return False


def _checkpoints(workdir: WorkDir) -> Checkpoints:
    found = workdir.read_run()
    return Checkpoints(workdir.checkpoints, found.mark(), digested=found.digested)

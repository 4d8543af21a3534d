"""The training loop: fit a model chunk by chunk, so that a stop at any chunk costs nothing."""

import contextlib
import functools
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from rnnjax import digests, terminal
from rnnjax.data import preprocess
from rnnjax.data.plan import Chunk
from rnnjax.errors import DataError, Interrupted, RnnjaxError, RunError, UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs import environment as results
from rnnjax.runs.finish import finish
from rnnjax.runs.log import NoLog, RunLog, until_accuracy_line
from rnnjax.runs.record import Run
from rnnjax.runs.resume import restored
from rnnjax.runs.workdir import WorkDir, locked, open_run, refuse_another
from rnnjax.tasks import metrics
from rnnjax.training import audit
from rnnjax.training.checkpoint import Checkpoints, check_folder
from rnnjax.training.interrupt import StopRequest, on_signals
from rnnjax.training.optim import reduce_on_plateau
from rnnjax.training.program import Program
from rnnjax.training.state import TrainState, check_seed

OnChunk = Callable[[int], None]
"""Called after each compiled call with the number of steps taken."""


def fit(
    experiment: Experiment,
    program: Program,
    seed: int,
    root: str | Path,
    *,
    fresh: bool = False,
    on_chunk: OnChunk | None = None,
    before: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Trains, or resumes, or returns what is finished; then evaluates the best checkpoint on the test split.

    Args:
      experiment: its name and target go into the result.
      program: the model, its data and its steps; ``program.config`` is what is trained.
      seed: of the parameters, the order of the data, dropout and augmentation.
      root: the work folder of this run.
      fresh: delete the run that is in it.
      on_chunk: called after every compiled call.
      before: seconds that this process spent on ``imports`` and on ``data``; they go into the result.

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
    root = Path(root)
    workdir, parallel = WorkDir(root), program.parallel
    ours = _described(experiment, program, seed)
    if (
        not fresh
        and (result := _finished(workdir, ours, program.dataset.preprocess, tested=program.config.train.test))
        is not None
    ):
        return result  # of which nothing is written, not even the lock
    with contextlib.ExitStack() as held:
        refusal: RnnjaxError | None = None
        check_held: Callable[[], None] = lambda: None  # noqa: E731  # of the hosts the first holds it for all
        if parallel.is_primary:
            try:
                check_held = held.enter_context(locked(root))
                _prepare(workdir, program, ours, fresh)
            except RnnjaxError as error:
                refusal = error
        if parallel.any_process(refusal is not None):  # no host waits for one that has left
            raise refusal or RunError("the first host refused the work folder; see its message")
        with on_signals() as stop, _checkpoints(workdir) as checkpoints:
            training = _Training(program, seed, workdir, checkpoints, stop, on_chunk, check_held)
            training.run()
            result = finish(experiment, training, workdir, checkpoints, before or {})
    if parallel.any_process(stop.signal_number is not None):
        number = stop.signal_number or signal.SIGTERM
        raise Interrupted(f"stopped by {signal.Signals(number).name}; the run in {root} was just finished", number)
    return result


def _described(experiment: Experiment, program: Program, seed: int) -> Run:
    dataset = program.dataset
    digest = digests.of_json(preprocess.to_json(dataset.preprocess))
    identity = program.model_identity
    return Run(experiment.name, seed, program.config, data=dataset.fingerprint, preprocess=digest, model=identity)


def _finished(
    workdir: WorkDir, ours: Run, preprocessing: preprocess.Preprocess, *, tested: bool
) -> dict[str, Any] | None:
    """The result of this run, if it is finished. Raises UsageError where the folder holds another."""
    try:
        theirs = workdir.read_run()
    except UsageError:  # there is none, or a damaged record, which is mended where the folder is taken up
        return None
    refuse_another(workdir, ours, theirs)
    if not _holds(workdir, preprocessing):
        return None  # it is written anew, as a damaged record is
    return workdir.finished(tested=tested)


def _prepare(workdir: WorkDir, program: Program, ours: Run, fresh: bool) -> None:
    """Makes or takes up the work folder; its preprocessing belongs to its checkpoints and is never replaced."""
    marks = [] if fresh else Checkpoints(workdir.checkpoints).marks()
    run = open_run(workdir, ours, marks=marks, fresh=fresh)
    if not workdir.preprocess.is_file():
        preprocess.save(program.dataset.preprocess, workdir.preprocess)
    elif not _holds(workdir, program.dataset.preprocess):
        if not run.digested:
            raise UsageError(
                f"{workdir.root} was trained on other data than {program.dataset.name} is now: its preprocessing "
                "differs; use the same data, --fresh to start over, or another --runs-dir"
            )
        terminal.note(f"{workdir.preprocess} is not as it was written; it is written anew")
        preprocess.save(program.dataset.preprocess, workdir.preprocess)


def _holds(workdir: WorkDir, wanted: preprocess.Preprocess) -> bool:
    try:
        return preprocess.load(workdir.preprocess) == wanted
    except DataError:
        return False


def _checkpoints(workdir: WorkDir) -> Checkpoints:
    run = workdir.read_run()
    return Checkpoints(workdir.checkpoints, run.mark(), digested=run.digested)


class _Training:
    """One session of a run: from its start or its newest checkpoint to its end."""

    def __init__(
        self,
        program: Program,
        seed: int,
        workdir: WorkDir,
        checkpoints: Checkpoints,
        stop: StopRequest,
        on_chunk: OnChunk | None,
        check_held: Callable[[], None],
    ):
        self._started = self._saved = time.perf_counter()
        self.program, self.seed, self._checkpoints = program, seed, checkpoints
        self._workdir, self._stop, self._on_chunk = workdir, stop, on_chunk or (lambda step: None)
        self._check_held = check_held
        self._calls = 0
        self._compiled_before, self._counts_before = program.compile_seconds, program.parallel.cache_counts()
        environment = results.environment()  # what runs is what was there at the start
        self.fresh_state = program.create_state(seed)
        self.initialize_seconds = time.perf_counter() - self._started
        state, self.progress = restored(workdir, checkpoints, self.fresh_state, program.parallel)
        check_folder(checkpoints.folder)
        self.progress.sessions += 1
        if environment not in self.progress.environments[-1:]:
            self.progress.environments.append(environment)
        self._seconds_before, self._compile_before = self.progress.seconds, self.progress.compile_seconds
        self._cache_before = self.progress.compilation_cache
        self.state: TrainState = program.parallel.replicate(state)

    def run(self) -> None:
        """Trains to the last epoch, or to where patience ends."""
        config = self.program.config.train
        log = RunLog if self.program.parallel.is_primary else NoLog
        self._log = log(
            self._workdir,
            epochs=config.epochs,
            steps_per_epoch=self.program.steps_per_epoch,
            step=self.progress.step,
            written=self.progress.written,
        )
        with self._log:
            if self.progress.step:
                self._log.say(
                    f"resuming {self._workdir.root} after step {self.progress.step} of {self.program.total_steps}"
                )
            while self.progress.epoch < config.epochs and not self.progress.reached:
                if config.patience and self.progress.stale_epochs >= config.patience:
                    self._log.say(f"stopping early: no better validation accuracy for {config.patience} epochs")
                    break
                self._epoch()

    def _epoch(self) -> None:
        program, progress = self.program, self.progress
        chunks = program.train_plan(seed=self.seed, epoch=progress.epoch)
        last = len(chunks) - 1
        pending: tuple[Chunk, Any, bool] | None = None
        self._measure_anew()
        remaining, scale = chunks[progress.chunk :], progress.learning_rate_scale
        for chunk, advance in program.train_chunks(
            remaining, progress.epoch, seed=self.seed, learning_rate_scale=scale
        ):
            compiled = program.compile_seconds
            if self._audited():
                advance = functools.partial(audit.twice, advance, program.parallel)
            self.state, sums = advance(self.state)
            self._calls += 1
            # The chunk before is looked at while the devices work on this one.
            if pending is not None:
                self._absorb(*pending)
            first_call = program.compile_seconds > compiled
            pending = (chunk, sums, not first_call)
            if first_call:
                self._first_call()
            if self._asked_to_save() and progress.chunk < last:
                self._absorb(*pending)
                pending = None
                self._save(self._finite_state())
                self._leave_if_stopped()
        if pending is not None:
            self._absorb(*pending)
        self._end_epoch()

    def _audited(self) -> bool:
        every = self.program.config.train.audit
        return bool(every) and self._calls % every == 0

    def _first_call(self) -> None:
        """Starts the measurement of the steady speed anew behind a compilation."""
        self._note_first_step()
        self._measure_anew()

    def _measure_anew(self) -> None:
        self._mark, self._steady, self._waited = time.perf_counter(), 0, self.program.input_seconds

    def _note_first_step(self) -> None:
        if not self.progress.first_step_seconds:
            self.progress.first_step_seconds = time.perf_counter() - self._started

    def _absorb(self, chunk: Chunk, sums: Any, timed: bool) -> None:
        """Adds a chunk's metrics to the epoch's, once they are known to be finite; a first call is not timed."""
        progress = self.progress
        values = {name: np.asarray(value, np.float64)[chunk.mask.any(1)] for name, value in sums.items()}
        self._note_first_step()
        bad = ~(np.isfinite(values["loss"]) & np.isfinite(values["grad_norm"]))
        if bad.any():
            what = "gradient" if np.isfinite(values["loss"][bad.argmax()]) else "loss"
            self._diverged(what, progress.step + int(bad.argmax()))
        for name in ("loss", "correct", "count"):
            progress.sums[name] = progress.sums.get(name, 0.0) + float(values[name].sum())
        progress.train, progress.validation = {}, {}
        progress.chunk += 1
        progress.step += chunk.steps
        self._steady += chunk.examples if timed else 0
        now = metrics.scalars(progress.sums)
        self._log.progress(progress.step, now["loss"], now["accuracy"], self._rate() or 0.0)
        self._on_chunk(progress.step)

    def _rate(self) -> float | None:
        seconds = time.perf_counter() - self._mark
        return self._steady / seconds if self._steady and seconds > 0 else None

    def _input(self) -> dict[str, float]:
        """Of a streamed epoch: the share of its time that was spent waiting for data, and the steps' own speed."""
        rate, seconds = self.program.streamed_step_rate, time.perf_counter() - self._mark
        if rate is None or seconds <= 0:
            return {}
        return {"input_wait": (self.program.input_seconds - self._waited) / seconds, "step_examples_per_second": rate}

    def _diverged(self, what: str, step: int) -> NoReturn:
        self._checkpoints.wait()
        kept = self._checkpoints.latest_step()
        raise RunError(
            f"the {what} became NaN or infinite at step {step} "
            f"(learning rate {self._learning_rate(step):.3g}); "
            + (f"the last good checkpoint, of step {kept}, is kept in {self._workdir.checkpoints}; " if kept else "")
            + "try a lower --optim.learning-rate, or --optim.clip-norm 1 (with --fresh)"
        )

    def _learning_rate(self, step: int) -> float:
        return self.progress.learning_rate_scale * float(self.program.schedule(step))

    def seconds(self) -> dict[str, float]:
        """Wall time of all sessions so far, and what of it was compiling (first calls, one execution each included)."""
        return {
            "wall": self._seconds_before + time.perf_counter() - self._started,
            "compile": self._compile_before + self.program.compile_seconds - self._compiled_before,
        }

    def compilation_cache(self) -> dict[str, int]:
        """Programs of all sessions so far that came from the cache of compiled ones, and that did not."""
        now, before = self.program.parallel.cache_counts(), self._counts_before
        if now is None or before is None:
            return self._cache_before
        return {name: self._cache_before.get(name, 0) + now[name] - before[name] for name in now}

    def _asked_to_save(self) -> bool:
        due = time.perf_counter() - self._saved > 60 * self.program.config.train.save_minutes
        return self.program.parallel.any_process(due or self._stop.signal_number is not None)

    def _finite_state(self) -> TrainState:
        """The state on the host. The losses do not tell whether the last update was finite; this does."""
        state = self.program.parallel.to_host(self.state)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)):
            self._diverged("parameters", self.progress.step - 1)
        return state

    def _save(self, state: TrainState) -> None:
        progress = self.progress
        progress.seconds, progress.compile_seconds = self.seconds()["wall"], self.seconds()["compile"]
        progress.compilation_cache = self.compilation_cache()
        best = progress.best.get("step")
        self._check_held()
        self._checkpoints.save(progress.step, state, asdict(progress), None if best is None else int(best))
        self._saved = time.perf_counter()

    def _leave_if_stopped(self) -> None:
        if not self.program.parallel.any_process(self._stop.signal_number is not None):
            return
        self._checkpoints.wait()
        number = self._stop.signal_number or signal.SIGTERM
        raise Interrupted(
            f"stopped by {signal.Signals(number).name} after step {self.progress.step} of {self.program.total_steps}; "
            "everything is saved, and the same command resumes",
            number,
        )

    def _end_epoch(self) -> None:
        program, progress = self.program, self.progress
        rate, fed, state = self._rate(), self._input(), self._finite_state()
        if rate is not None:
            progress.steady_examples += self._steady
            progress.steady_seconds += time.perf_counter() - self._mark
        train = metrics.scalars(progress.sums)
        validation = program.evaluate(self.state.variables(), "validation")
        progress.epoch, progress.chunk, progress.sums = progress.epoch + 1, 0, {}
        self._log.epoch(
            {
                "epoch": progress.epoch,
                "step": progress.step,
                "train_loss": train["loss"],
                "train_accuracy": train["accuracy"],
                "validation_loss": validation["loss"],
                "validation_accuracy": validation["accuracy"],
                "learning_rate": self._learning_rate(progress.step - 1),
                "examples_per_second": rate,
                **fed,
            }
        )
        progress.written = self._log.written
        progress.train, progress.validation = train, validation
        better = self._is_better(validation)
        progress.stale_epochs = 0 if better else progress.stale_epochs + 1
        if better:
            progress.best = {**validation, "epoch": progress.epoch, "step": progress.step}
        self._reduce_on_plateau(better)
        self._note_reached(validation["accuracy"])
        self._save(state)
        self._leave_if_stopped()

    def _reduce_on_plateau(self, better: bool) -> None:
        progress, before = self.progress, self.progress.learning_rate_scale
        progress.learning_rate_scale, progress.plateau_epochs = reduce_on_plateau(
            self.program.config.optim, before, 0 if better else progress.plateau_epochs + 1
        )
        if progress.learning_rate_scale < before:
            self._log.say(f"no better validation: learning rate now times {progress.learning_rate_scale:g}")

    def _note_reached(self, accuracy: float) -> None:
        wanted, spent = self.program.config.train.until_accuracy, self.seconds()
        if wanted is None or accuracy < wanted:
            return
        self.progress.reached = {
            "epoch": self.progress.epoch,
            "examples": self.progress.step * self.program.config.data.batch_size,
            "seconds": spent["wall"] - spent["compile"],
            "compile_seconds": spent["compile"],
        }
        self._log.say(f"validation accuracy {accuracy:.2%}: {until_accuracy_line(wanted, self.progress.reached)}")

    def _is_better(self, validation: dict[str, float]) -> bool:
        """By accuracy; among equals, which a small validation split makes frequent, by loss."""
        best = self.progress.best
        if not best:
            return True
        return (validation["accuracy"], -validation["loss"]) > (best["accuracy"], -best["loss"])

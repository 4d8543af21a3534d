"""The training loop: chunk by chunk, so that a stop at any chunk costs nothing."""

import signal
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NoReturn

import jax
import numpy as np

from rnnjax.data.plan import Chunk
from rnnjax.errors import Interrupted, RunError
from rnnjax.training import audit
from rnnjax.training.clock import Clock
from rnnjax.training.feed import Fed
from rnnjax.training.optim import reduce_on_plateau
from rnnjax.training.profile import Profile
from rnnjax.training.progress import Progress
from rnnjax.training.runner import Runner
from rnnjax.training.session import Session
from rnnjax.training.state import TrainState, with_carry


class Training:
    """One session of a run: from its start or its newest checkpoint to its end.

    Args:
      program: what runs.
      session: whose it is.
      clock: of the session.
      state: to go on from, on the host.
      progress: likewise.

    Attributes:
      state: on the devices.
    """

    def __init__(self, program: Runner, session: Session, clock: Clock, state: TrainState, progress: Progress):
        self.program, self.progress, self.clock = program, progress, clock
        self._session, self._headline = session, program.task.headline
        self._config = program.experiment.train
        self._calls, self._profile = 0, Profile(session.profile, session.recorder.say)
        self.state: TrainState = program.place(state)

    def run(self) -> None:
        """Trains to the last epoch, or to where patience ends."""
        config, progress = self._config, self.progress
        try:
            while progress.epoch < config.epochs and not self._enough():
                self._epoch()
        finally:
            self._profile.end()
        if progress.epoch < config.epochs and not progress.reached:
            better = f"no better validation {self.program.task.chooser.name}"
            times = "evaluations" if config.evaluate_every else "epochs"
            self._session.recorder.say(f"stopping early: {better} for {config.patience} {times}")

    def _enough(self) -> bool:
        """Whether validation ends the training before its last epoch."""
        patience, progress = self._config.patience, self.progress
        return bool(progress.reached) or 0 < patience <= progress.stale_epochs

    def _epoch(self) -> None:
        program, progress = self.program, self.progress
        chunks = program.train_plan(seed=self._session.seed, epoch=progress.epoch)
        last = len(chunks) - 1
        pending: tuple[Chunk, Any, bool] | None = None
        if not progress.chunk:  # an epoch reads its streams from their beginnings
            self.state = with_carry(self.state, program.fresh_carry())
        self.clock.measure_anew()
        for fed in program.feed_training(chunks[progress.chunk :], progress.epoch, seed=self._session.seed):
            compiled = program.compile_seconds
            step = progress.step + (0 if pending is None else pending[0].steps)
            self._profile.before(step, compiled=program.is_compiled(fed))
            if not program.is_compiled(fed):
                self._session.recorder.compiling(_training_step(fed.chunk))
            sums = self._train(fed)
            # The chunk before is looked at while the devices work on this one.
            if pending is not None:
                self._absorb(*pending)
            untimed = program.compile_seconds > compiled
            untimed |= self._profile.after(fed.chunk.steps, sums)
            pending = (fed.chunk, sums, not untimed)
            if untimed:
                self.clock.first_step()
                self.clock.measure_anew()
            if progress.chunk == last:  # what is due there is due at the epoch's end
                continue
            due, asked = self._evaluation_due(fed.chunk), self._asked_to_save()
            if due or asked:
                self._absorb(*pending)
                pending = None
            if due:
                asked |= self._evaluate_within()
            if asked:
                self._save(self._finite_state())
                self.leave_if_stopped()
            if due and self._enough():
                return
        if pending is not None:
            self._absorb(*pending)
        self._end_epoch()

    def _train(self, fed: Fed) -> Any:
        """The steps of a chunk, computed twice where that is asked for; their sums."""
        scale, every = self.progress.learning_rate_scale, self._config.audit

        def advance(state: TrainState) -> tuple[TrainState, Any]:
            return self.program.train(state, fed, scale)

        audited = bool(every) and self._calls % every == 0
        self._calls += 1
        self.state, sums = audit.twice(advance, self.program.parallel, self.state) if audited else advance(self.state)
        return sums

    def _absorb(self, chunk: Chunk, sums: Any, timed: bool) -> None:
        """Adds a chunk's sums to the epoch's, once they are known to be finite; a first call is not timed."""
        progress = self.progress
        values = {name: np.asarray(value, np.float64)[chunk.mask.any(1)] for name, value in sums.items()}
        self.clock.first_step()
        norms = values.pop("grad_norm")
        bad = ~(np.isfinite(values["loss"]) & np.isfinite(norms))
        if bad.any():
            what = "gradient" if np.isfinite(values["loss"][bad.argmax()]) else "loss"
            self._diverged(what, progress.step + int(bad.argmax()))
        for name, value in values.items():
            progress.sums[name] = (np.asarray(progress.sums.get(name, 0.0)) + value.sum(0)).tolist()
        progress.train, progress.validation = {}, {}
        progress.chunk += 1
        progress.step += chunk.steps
        self.clock.trained(chunk.examples, chunk.steps, timed=timed)
        told = self._metrics_so_far(), self.clock.rate(), self.clock.left()
        self._session.recorder.progress(progress.step, *told)
        self._session.on_chunk(progress.step)

    def _metrics_so_far(self) -> dict[str, float]:
        totals = {name: np.asarray(total, np.float64) for name, total in self.progress.sums.items()}
        return self.program.task.finish(totals)

    def _diverged(self, what: str, step: int) -> NoReturn:
        checkpoints = self._session.checkpoints
        checkpoints.wait()
        kept = checkpoints.latest_step()
        rate = self._learning_rate(step)
        raise RunError(
            f"the {what} became NaN or infinite at step {step} "
            + (f"(learning rate {rate:.3g}); " if rate is not None else "; ")
            + (f"the last good checkpoint, of step {kept}, is kept in {checkpoints.shown}; " if kept else "")
            + "try a lower --optim.learning-rate, or --optim.clip-norm 1 (with --fresh)"
        )

    def _learning_rate(self, step: int) -> float | None:
        rate = self.program.optimizer.learning_rate(step)
        return None if rate is None else self.progress.learning_rate_scale * rate

    def _asked_to_save(self) -> bool:
        due = self.clock.due(self._config.save_minutes)
        return self.program.parallel.any_process(due or self._session.stop.signal_number is not None)

    def _finite_state(self) -> TrainState:
        """The state on the host. The losses do not tell whether the last update was finite; this does."""
        state = self.program.on_host(self.state)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)):
            self._diverged("parameters", self.progress.step - 1)
        return state

    def _save(self, state: TrainState) -> None:
        self.clock.keep()
        best = self.progress.best.get("step")
        self._session.check_held()
        step = self.progress.step
        self._session.checkpoints.save(step, state, asdict(self.progress), None if best is None else int(best))

    def leave_if_stopped(self) -> None:
        """Raises Interrupted if a signal asked for the end; everything was saved."""
        stop = self._session.stop.signal_number
        if not self.program.parallel.any_process(stop is not None):
            return
        self._session.checkpoints.wait()
        number = stop or signal.SIGTERM
        raise Interrupted(
            f"stopped by {signal.Signals(number).name} after step {self.progress.step} of {self.program.total_steps}; "
            "everything is saved, and the same command resumes",
            number,
        )

    def _evaluation_due(self, chunk: Chunk) -> bool:
        """Whether a chunk that was not looked at yet reaches a multiple of the steps between evaluations."""
        every, step = self._config.evaluate_every, self.progress.step
        return bool(every) and (step + chunk.steps) // every > step // every

    def _evaluate_within(self) -> bool:
        """Validates within an epoch; whether that must be saved: as the best so far, or the last."""
        better = self._evaluate(round(self.progress.step / self.program.steps_per_epoch, 6))
        self.clock.measure_anew()
        return better or self._enough()

    def _end_epoch(self) -> None:
        progress, state = self.progress, self._finite_state()
        self._evaluate(progress.epoch + 1)
        progress.epoch, progress.chunk, progress.sums = progress.epoch + 1, 0, {}
        self._save(state)
        self.leave_if_stopped()

    def _evaluate(self, epoch: float) -> bool:
        """Validates, tells and keeps what came out; whether it is the best so far.

        Args:
          epoch: how many are done, a whole number at an epoch's end.
        """
        program, progress, recorder = self.program, self.progress, self._session.recorder
        fed = self.clock.input()
        rate = self.clock.epoch_done()
        self._profile.stop()
        train, validation = self._metrics_so_far(), program.evaluate(self.state.variables(), "validation")
        if isinstance(epoch, int):
            self.clock.epoch_validated()
        recorder.epoch(
            {
                "epoch": epoch,
                "step": progress.step,
                **{f"train_{name}": value for name, value in train.items()},
                **{f"validation_{name}": value for name, value in validation.items()},
                "learning_rate": self._learning_rate(progress.step - 1),
                "examples_per_second": rate,
                "seconds": self._spent(),
                **fed,
                "peak_memory_mib": self.clock.peak_memory(),
            },
            self.clock.left(),
        )
        progress.written = recorder.written
        progress.train, progress.validation, progress.validated_epoch = train, validation, epoch
        better = self._is_better(validation)
        progress.stale_epochs = 0 if better else progress.stale_epochs + 1
        if better:
            progress.best = {**validation, "epoch": epoch, "step": progress.step}
        self._reduce_on_plateau(better)
        self._note_reached(validation, epoch)
        return better

    def _spent(self) -> float:
        """Wall time of all sessions so far, compilation left out."""
        spent = self.clock.seconds()
        return round(spent["wall"] - spent["compile"], 3)

    def _reduce_on_plateau(self, better: bool) -> None:
        progress, before = self.progress, self.progress.learning_rate_scale
        progress.learning_rate_scale, progress.plateau_epochs = reduce_on_plateau(
            self.program.optimizer.section, before, 0 if better else progress.plateau_epochs + 1
        )
        if progress.learning_rate_scale < before:
            scale = progress.learning_rate_scale
            self._session.recorder.say(f"no better validation: learning rate now times {scale:g}")

    def _note_reached(self, validation: Mapping[str, float], epoch: float) -> None:
        wanted, value, spent = self._config.until, validation[self._headline.name], self.clock.seconds()
        if wanted is None or not self._headline.reaches(value, wanted):
            return
        self.progress.reached = {
            "epoch": epoch,
            "examples": self.progress.step * self.program.experiment.data.batch_size,
            "seconds": spent["wall"] - spent["compile"],
            "compile_seconds": spent["compile"],
        }
        self._session.recorder.reached(value, wanted, self.progress.reached)

    def _is_better(self, validation: Mapping[str, float]) -> bool:
        return not self.progress.best or self.program.task.rank(validation) > self.program.task.rank(self.progress.best)


def _training_step(chunk: Chunk) -> str:
    """What is compiled for a chunk, in words."""
    return "the training step" + (f" for length {chunk.length}" if chunk.length is not None else "")

"""Where a run is taken up: its newest whole checkpoint, with what was in the way said and set aside."""

from collections.abc import Mapping
from typing import Any

from rnnjax import terminal
from rnnjax.errors import RunError
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints, Rank, Saved
from rnnjax.training.parallel import DataParallel
from rnnjax.training.progress import Progress


def restored(
    workdir: WorkDir, checkpoints: Checkpoints, like: Any, parallel: DataParallel, rank: Rank
) -> tuple[Any, Progress]:
    """The state and the progress to go on from: ``like`` and nothing done, where nothing was saved yet.

    A newer checkpoint that is damaged, unfinished or of another run is named, and moved to ``damaged/``.

    Raises:
      RunError: if something was saved and nothing of it can be used.
    """
    saved, problems = checkpoints.newest(like)
    _refuse_if_lost(checkpoints, workdir, saved, problems, parallel)
    if saved is None:
        return like, Progress()
    try:
        progress = Progress.of(saved.progress)
    except RunError as error:
        raise RunError(f"the checkpoint of step {saved.step} in {checkpoints.folder}: {error}") from error
    best = progress.best.get("step")
    if best is not None and int(best) != saved.step:
        try:
            checkpoints.read(int(best), like)
        except RunError as error:
            problems[int(best)] = str(error)
            progress.best = _next_best(checkpoints, like, problems, rank)
    _set_aside(workdir, checkpoints, problems, parallel)
    if problems and parallel.is_primary:
        kept = (
            f"the best of what is whole is that of step {progress.best['step']}"
            if best in problems and progress.best
            else ""
        )
        terminal.note("; ".join(filter(None, [f"the run goes on from step {saved.step}", kept])))
    return saved.state, progress


def _refuse_if_lost(
    checkpoints: Checkpoints, workdir: WorkDir, saved: Saved | None, problems: Mapping[int, str], parallel: DataParallel
) -> None:
    if saved is None and problems:
        listed = "; ".join(f"step {step}: {why}" for step, why in sorted(problems.items()))
        raise RunError(
            f"no checkpoint in {workdir.checkpoints} can be used ({listed}); "
            "put a whole one there, or use --fresh to start over"
        )
    # A run that was killed before its first whole checkpoint begins again, whatever it had logged.
    gone = workdir.metrics.is_file() and workdir.metrics.stat().st_size and not workdir.checkpoints.is_dir()
    if parallel.any_process(saved is None and (checkpoints.saved_once.exists() or bool(gone))):
        raise RunError(
            f"{workdir.root} was trained before, but {workdir.checkpoints} has no checkpoint; "
            "put it back, or use --fresh to start over"
        )


def _next_best(checkpoints: Checkpoints, like: Any, problems: dict[int, str], rank: Rank) -> dict[str, float]:
    """The best validation of the checkpoints that are whole, empty where none of them was validated."""
    best: dict[str, float] = {}
    for step in checkpoints.steps():
        if step in problems:
            continue
        try:
            progress = checkpoints.read(step, like).progress
        except RunError as error:
            problems[step] = str(error)
            continue
        found = progress.get("validation") or {}
        if found and (not best or rank(found) >= rank(best)):
            best = {**found, "epoch": progress.get("validated_epoch", progress["epoch"]), "step": step}
    return best


def _set_aside(workdir: WorkDir, checkpoints: Checkpoints, problems: Mapping[int, str], parallel: DataParallel) -> None:
    parallel.any_process(False)  # every host has read them before one moves them
    if parallel.is_primary:
        for step, why in sorted(problems.items()):
            if step in checkpoints.steps():
                moved = checkpoints.set_aside(step, workdir.damaged)
                terminal.note(f"the checkpoint of step {step} is set aside, in {moved}: {why}")
            else:
                terminal.note(f"the checkpoint of step {step}, the best, cannot be used: {why}")
    parallel.any_process(False)

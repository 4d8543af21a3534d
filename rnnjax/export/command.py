"""The command ``export``."""

import contextlib
from pathlib import Path

from rnnjax import terminal
from rnnjax.errors import UsageError
from rnnjax.experiment import Experiment
from rnnjax.runs.workdir import WorkDir


def export(
    experiment: Experiment,
    root: Path,
    to: str | None,
    out: Path | None,
    batch: int | None,
    length: int | None,
    *,
    own: bool = False,
) -> int:
    """Exports the best checkpoint of a finished run; returns the exit code.

    Args:
      experiment: that was trained.
      root: its work folder.
      to, batch, length: as :func:`rnnjax.export.folder.write` has them.
      out: the folder that is made; None: beside the work folder.
      own: whether the process has nothing else to do, and may be ended by a signal.

    Raises:
      UsageError: if the format is none, the folder exists, or there is no finished run.
    """
    from rnnjax.export import aside, folder
    from rnnjax.runs import predict

    if to is None:
        raise UsageError(f"export needs a format, --to FORMAT: one of {', '.join(folder.FORMATS)}")
    beside = root if root.name not in ("", "..") else root.resolve()
    target = beside.with_name(f"{beside.name}-{to}") if out is None else out
    folder.check_target(target, to)
    work = WorkDir(root, experiment.kinds)
    run = work.read_run()
    if work.finished() is None:
        raise UsageError(f"{root} holds a run that is not finished; the command that trained it goes on with it")
    predictor = predict.load(root, experiment if experiment.name == run.experiment else None)
    name = f"{run.experiment}-{run.seed}"
    with aside.ended_by_signals() if own else contextlib.nullcontext():
        said = folder.write(predictor, target, to, batch=batch, length=length, samples=work.samples, name=name)
    terminal.answer(f"{target}: {said['file']}, which answers its sample as the model here does")
    if "missing" in said.get("step", {}):
        terminal.note(f"there is no step for streams: {said['step']['missing']}")
    terminal.answer(f"python -m rnnjax.export {target} has it answer again; {target / 'README.md'} says how it is used")
    return 0

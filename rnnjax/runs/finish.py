"""The end of a run: its best checkpoint evaluated, its result written, and then what is drawn of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from rnnjax import digests, terminal
from rnnjax.runs import class_report as report
from rnnjax.runs import environment as results
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.config import to_json
from rnnjax.data import samples
from rnnjax.errors import RunError
from rnnjax.experiment import Experiment
from rnnjax.files import write_file, write_text
from rnnjax.runs.log import read_metrics
from rnnjax.runs.plots import save_curves
from rnnjax.training.program import Program
from rnnjax.training.progress import Progress
from rnnjax.training.state import TrainState, count_parameters
from rnnjax.runs.workdir import WorkDir, cannot_write


class Trained(Protocol):
    """What is read of a training that came to its end."""

    program: Program
    progress: Progress
    seed: int
    fresh_state: TrainState
    state: TrainState
    initialize_seconds: float

    def seconds(self) -> dict[str, float]:
        """Wall time of all sessions, and what of it was compiling."""
        ...

    def compilation_cache(self) -> dict[str, int]:
        """Programs that came from the cache of compiled ones, and that did not."""
        ...


def finish(
    experiment: Experiment,
    training: Trained,
    workdir: WorkDir,
    checkpoints: Checkpoints,
    before: Mapping[str, float],
) -> dict[str, Any]:
    """Evaluates the best checkpoint, on test unless that is to be left alone; writes what a finished run leaves.

    Raises:
      RunError: if the best checkpoint cannot be read, or the result not written.
    """
    program, progress = training.program, training.progress
    checkpoints.wait()
    variables = _best_variables(training, checkpoints)
    split = "test" if program.config.train.test else "validation"
    evaluated, logits = program.evaluate_logits(variables, split)
    test = evaluated if split == "test" else None
    by_class = report.class_report(logits, getattr(program.dataset, split).labels, program.dataset.class_names)
    rate = progress.steady_examples / progress.steady_seconds if progress.steady_seconds else None
    result: dict[str, Any] = {
        "experiment": experiment.name,
        "seed": training.seed,
        "metrics": {
            "test": test,
            "validation": {name: progress.best[name] for name in ("loss", "accuracy")},
            "train": _last_training(progress, workdir),
        },
        "report": report.headline(by_class),
        "target": experiment.target
        and asdict(experiment.target) | {"reached": test and experiment.reached(test["accuracy"])},
        "until_accuracy": _until_accuracy(program, progress),
        "best_epoch": int(progress.best["epoch"]),
        "epochs": progress.epoch,
        "steps": progress.step,
        "parameters": count_parameters(training.fresh_state.params),
        "implementations": program.implementations,
        "data": _data_facts(program),
        "device": program.parallel.describe(),
        "seconds": training.seconds()
        | {"first_step": progress.first_step_seconds, "initialize": training.initialize_seconds, **before},
        "compilation_cache": training.compilation_cache() or "off",
        "examples_per_second": rate,
        "sessions": progress.sessions,
        "config": results.without_folders(to_json(program.config)),
        **progress.environments[0],
        "continued": progress.environments[1:],
        "finished": results.now(),
        "run": workdir.read_run().id,
    }
    result = digests.sealed(result)
    if program.parallel.is_primary:
        try:  # before all pictures: none of them is worth a result
            write_text(workdir.result, json.dumps(result, indent=2) + "\n")
        except OSError as error:
            raise cannot_write(workdir.root, error) from error
        title = f"{experiment.name}, seed {training.seed}: {split} {evaluated['accuracy']:.2%}"
        _attempt(workdir.curves, lambda: _draw_curves(workdir, title))
        _attempt(workdir.report(split), lambda: report.save(by_class, workdir, split))
        _attempt(workdir.samples, lambda: samples.save(program.dataset, experiment.sample_texts, workdir.samples))
    return result


def _best_variables(training: Trained, checkpoints: Checkpoints) -> Any:
    """Of the best checkpoint; where none of those that are left was validated, the last state is."""
    if not training.progress.best:
        state = training.program.parallel.to_host(training.state)
        values = training.program.evaluate(state.variables(), "validation")
        training.progress.best = {**values, "epoch": training.progress.epoch, "step": training.progress.step}
        return state.variables()
    step = int(training.progress.best["step"])
    try:
        return checkpoints.read(step, training.fresh_state).state.variables()
    except RunError as error:
        raise RunError(
            f"the best checkpoint, of step {step} in {checkpoints.folder}, cannot be used: {error}"
        ) from error


def _last_training(progress: Progress, workdir: WorkDir) -> dict[str, Any]:
    """Loss and accuracy of the last epoch's training; older checkpoints leave them to the log."""
    row = (read_metrics(workdir.metrics) or [{}])[-1] if not progress.train else {}
    return progress.train or {name: row.get(f"train_{name}") for name in ("loss", "accuracy")}


def _draw_curves(workdir: WorkDir, title: str) -> None:
    write_file(workdir.curves, lambda path: save_curves(read_metrics(workdir.metrics), path, title))


def _attempt(path: Any, write: Callable[[], Any]) -> None:
    """A picture that cannot be made costs a note, and no result."""
    try:
        write()
    except Exception as error:  # the drawing and image libraries raise their own
        terminal.note(f"{path} could not be written: {error}")


def _until_accuracy(program: Program, progress: Progress) -> dict[str, Any] | None:
    wanted = program.config.train.until_accuracy
    return None if wanted is None else {"accuracy": wanted, "reached": bool(progress.reached), **progress.reached}


def _data_facts(program: Program) -> dict[str, Any]:
    dataset = program.dataset
    return {"name": dataset.name} | {s: len(getattr(dataset, s)) for s in ("train", "validation", "test")}

"""The end of a run: its best checkpoint evaluated, its result written, and then what is drawn of it."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rnnjax import digests, terminal
from rnnjax.config import to_json
from rnnjax.config.language import Search
from rnnjax.config.run import is_section
from rnnjax.data import Dataset, Spec
from rnnjax.errors import RunError
from rnnjax.experiment import Experiment
from rnnjax.files import write_file, write_text
from rnnjax.runs import environment, mistakes, right
from rnnjax.runs.log import read_metrics
from rnnjax.runs.plots import Marks, save_curves
from rnnjax.runs.workdir import WorkDir, cannot_write
from rnnjax.tasks import Report, Task
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.loop import Training
from rnnjax.training.progress import Progress
from rnnjax.training.runner import Runner
from rnnjax.training.state import TrainState, count_parameters


def finish(
    training: Training,
    seed: int,
    fresh_state: TrainState,
    workdir: WorkDir,
    checkpoints: Checkpoints,
    before: Mapping[str, float],
) -> dict[str, Any]:
    """Evaluates the best checkpoint, on test unless that is to be left alone; writes what a finished run leaves.

    Raises:
      RunError: if the best checkpoint cannot be read, or the result not written.
    """
    program, experiment = training.program, training.program.experiment
    headline = program.task.headline
    checkpoints.wait()
    variables = _best_variables(training, checkpoints, fresh_state)
    split = "test" if experiment.train.test and program.dataset.test is not None else "validation"
    evaluated, report, kept = reported(program, variables, split)
    result = _result(training, seed, workdir, before, evaluated if split == "test" else None, report)
    result["parameters"] = count_parameters(fresh_state.params)
    if (experiment.own or experiment.bars) and program.parallel.is_primary:
        result["bars"] = _beside_bars(training, split, {**evaluated, **report.values}, kept)
    run = workdir.read_run()
    if run.init_from is not None:
        result["init_from"] = run.init_from
    if (answered := right.answered(program.task, program.dataset.spec, kept, split, run.data.get(split))) is not None:
        result["right"] = answered
    result = digests.sealed(result)
    if program.parallel.is_primary:
        try:  # before all pictures: none of them is worth a result
            write_text(workdir.result, json.dumps(result, indent=2) + "\n")
        except OSError as error:
            raise cannot_write(workdir.root, error) from error
        title = f"{experiment.name}, seed {seed}: {split} {headline.name} {headline.show(evaluated[headline.name])}"
        _attempt(workdir.curves, lambda: _draw_curves(program, workdir, title, result))
        _attempt(workdir.report(split), lambda: save_report(report, workdir, split, program.dataset))
        _attempt(workdir.samples, lambda: _save_samples(experiment, program, workdir))
    return result


class Reported(NamedTuple):
    """What a model does on a split.

    Attributes:
      metrics: of it.
      report: what the task shows of it, with intervals and the worst answers.
      kept: what the task kept of each example.
    """

    metrics: dict[str, float]
    report: Report
    kept: Any


def reported(program: Runner, variables: Any, split: str) -> Reported:
    """The metrics of a split, and what the task reports of it."""
    return judged(program.task, program.dataset.spec, *program.evaluate_keeping(variables, split))


def judged(task: Task, spec: Spec, metrics: dict[str, float], totals: Mapping[str, Any], kept: Any) -> Reported:
    """What a task reports of examples: of their metrics, of the sums that these are of, and of what it kept of each."""
    report = task.report(totals, kept, spec)
    if report.page is not None:
        intervals = {name: list(ends) for name, ends in task.intervals(kept, spec).items() if math.isfinite(sum(ends))}
        report = report._replace(page={**report.page, "intervals": intervals})
    return Reported(metrics, report._replace(mistakes=task.mistakes(kept, spec, mistakes.MOST)), kept)


def save_report(
    report: Report, workdir: WorkDir, split: str, dataset: Dataset | None = None, search: Search | None = None
) -> list[str]:
    """Writes a split's report, its figures and, of a data set, the worst answers; the names of the files.

    Those of a ``search`` have names of their own, so that they take no other's place.
    """
    written, name = [], split if search is None else f"{split}-beam-{search.beam}-{search.length_penalty:g}"
    if search is not None and report.page is not None:
        report = report._replace(page={**dataclasses.asdict(search), **report.page})
    if report.mistakes and dataset is not None:
        write_text(workdir.mistakes(name), mistakes.as_csv(report.mistakes, dataset, split))
        written.append(str(workdir.mistakes(name)))
    if report.page is not None:
        text = json.dumps({"split": split, **report.page}, indent=2, ensure_ascii=False)
        # A line for each row of numbers, not for each number.
        rows = re.sub(r"\[\s+((?:-?[\d.e+-]+,\s+)*-?[\d.e+-]+)\s+\]", lambda row: f"[{' '.join(row[1].split())}]", text)
        write_text(workdir.report(name), f"{rows}\n")
        written.append(str(workdir.report(name)))
    for figure, draw in report.figures.items():
        path = workdir.figure(figure, name)
        write_file(path, lambda aside, draw=draw: draw(aside, split))
        written.append(str(path))
    return written


def _result(
    training: Training,
    seed: int,
    workdir: WorkDir,
    before: Mapping[str, float],
    test: dict[str, float] | None,
    report: Report,
) -> dict[str, Any]:
    program, progress, clock = training.program, training.progress, training.clock
    experiment = program.experiment
    rate = progress.steady_examples / progress.steady_seconds if progress.steady_seconds else None
    return {
        "experiment": experiment.name,
        "seed": seed,
        "headline": program.task.headline.name,
        "metrics": {
            "test": test,
            "validation": {name: progress.best[name] for name in progress.best if name not in ("epoch", "step")},
            "train": _last_training(progress, workdir),
        },
        "report": dict(report.values),
        **({"signatures": dict(report.signatures)} if report.signatures else {}),
        "target": _target(experiment, test),
        "until": _until(training),
        "best_epoch": _whole_or_fraction(progress.best["epoch"]),
        "epochs": _whole_or_fraction(max(progress.epoch, progress.validated_epoch)),
        "steps": progress.step,
        "parameters": 0,
        "implementations": program.implementations,
        "data": _data_facts(program),
        "device": program.parallel.describe(),
        "seconds": clock.seconds()
        | {"first_step": progress.first_step_seconds, "initialize": clock.initialize_seconds, **before},
        "compilation_cache": clock.compilation_cache() or "off",
        "examples_per_second": rate,
        "input_wait": progress.steady_input_seconds / progress.steady_seconds if progress.steady_seconds else None,
        "peak_memory": {"mib": clock.peak_memory(), "of": progress.peak_memory_of},
        "sessions": progress.sessions,
        "config": environment.without_folders(to_json(experiment.config)),
        **progress.environments[0],
        "continued": progress.environments[1:],
        "finished": environment.now(),
        "run": workdir.read_run().id,
    }


def _whole_or_fraction(epoch: float) -> float:
    """Epochs done, an integer at an epoch's end: a fraction is of an evaluation within one."""
    return int(epoch) if epoch == int(epoch) else epoch


def _target(experiment: Experiment, test: Mapping[str, float] | None) -> dict[str, Any] | None:
    if experiment.target is None:
        return None
    name = experiment.task.headline.name
    reached = test and experiment.reached_alone(test[name])
    return {name: experiment.target.value, "source": experiment.target.source, "reached": reached}


def _best_variables(training: Training, checkpoints: Checkpoints, like: TrainState) -> Any:
    """Of the best checkpoint; where none of those that are left was validated, the last state is."""
    if not training.progress.best:
        state = training.program.on_host(training.state)
        values = training.program.evaluate(state.variables(), "validation")
        training.progress.best = {**values, "epoch": training.progress.epoch, "step": training.progress.step}
        return state.variables()
    step = int(training.progress.best["step"])
    try:
        return checkpoints.read(step, like).state.variables()
    except RunError as error:
        raise RunError(
            f"the best checkpoint, of step {step} in {checkpoints.folder}, cannot be used: {error}"
        ) from error


def _last_training(progress: Progress, workdir: WorkDir) -> dict[str, Any]:
    """Metrics of the last epoch's training; older checkpoints leave them to the log."""
    row = (read_metrics(workdir.metrics) or [{}])[-1] if not progress.train else {}
    logged = {name.removeprefix("train_"): value for name, value in row.items() if name.startswith("train_")}
    return progress.train or logged


def _beside_bars(training: Training, split: str, metrics: Mapping[str, float], kept: Any) -> dict[str, Any]:
    """The network beside plain bars, see :mod:`rnnjax.runs.bars`."""
    from rnnjax.runs import bars  # which takes what only the end of a run needs

    program = training.program
    task, dataset = program.task, program.dataset
    outcomes = None if kept is None else task.outcomes(kept, dataset.spec)
    seconds = bars.seconds_for(training.progress.seconds, own=program.experiment.own)
    network = bars.Bar(bars.NETWORK, metrics, outcomes)
    return bars.beside(task, dataset, split, network, seconds)


def _draw_curves(program: Runner, workdir: WorkDir, title: str, result: Mapping[str, Any]) -> None:
    rows, made, task = read_metrics(workdir.metrics), result.get("bars"), program.task
    shown = {row["name"]: row["metrics"] for row in made["rows"][:-1]} if made else {}
    marks = Marks(result["best_epoch"], shown, made["split"] if made else "", _in_training(program))
    metrics = (task.headline, task.chooser)
    write_file(workdir.curves, lambda path: save_curves(rows, path, title, metrics, marks))


def _in_training(program: Runner) -> list[str]:
    """What makes the training loss another than that of validation, beside the network's getting better meanwhile."""
    experiment = program.experiment
    model, optim = (vars(part) if is_section(part) else {} for part in (experiment.model, experiment.optim))
    found = ["dropout"] if any("dropout" in name and value for name, value in model.items()) else []
    found += ["augmentation"] if experiment.data.augment(program.dataset) is not None else []
    found += ["label smoothing"] if optim.get("label_smoothing") else []
    found += ["class weights"] if optim.get("class_weights", "none") != "none" else []
    return found + (["adversarial inputs"] if optim.get("adversarial") else [])


def _save_samples(experiment: Experiment, program: Runner, workdir: WorkDir) -> None:
    workdir.samples.mkdir(exist_ok=True)
    program.dataset.preprocess.save_samples(program.dataset, experiment.sample_texts, workdir.samples)


def _attempt(path: Any, write: Callable[[], Any]) -> None:
    """A picture that cannot be made costs a note, and no result."""
    try:
        write()
    except Exception as error:  # the drawing and image libraries raise their own
        terminal.note(f"{path} could not be written: {error}")


def _until(training: Training) -> dict[str, Any] | None:
    wanted, progress = training.program.experiment.train.until, training.progress
    if wanted is None:
        return None
    name = training.program.task.headline.name
    return {"metric": name, "value": wanted, "reached": bool(progress.reached), **progress.reached}


def _data_facts(program: Runner) -> dict[str, Any]:
    dataset = program.dataset
    return {"name": dataset.name} | {split: len(examples) for split, examples in dataset.splits().items()}

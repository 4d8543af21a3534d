"""The parts of a run, made again from its work folder: the preprocessing, the task and the module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn

from rnnjax import digests
from rnnjax.config.run import HandedOver, is_section
from rnnjax.data import Preprocess, Spec
from rnnjax.data import preprocess as preprocessing
from rnnjax.errors import RnnjaxError, RunError, UsageError
from rnnjax.experiment import Experiment, known_task
from rnnjax.runs.record import Run, described_task
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Task
from rnnjax.training.identity import module_identity
from rnnjax.training.runner import made_model
from rnnjax.training.state import shapes_of


def preprocess(folder: WorkDir, run: Run, experiment: Experiment | None) -> Preprocess:
    """The preprocessing that was kept; raises RunError if it is not as it was written."""
    section = run.config.data if experiment is None else experiment.data
    preprocess = preprocessing.load(folder.preprocess, getattr(section, "preprocesses", tuple)())
    if run.digested and digests.of_json(preprocess.identity()) != run.preprocess:
        raise RunError(f"{folder.preprocess} is not as it was written; the command that trained it mends it")
    return preprocess


def task(root: Path, run: Run, experiment: Experiment | None) -> Task:
    """The task that was trained, with what its data told; raises UsageError if another is handed over, or none."""
    said = run.parts["task"]
    name = said["kind"] or said["class"]
    if experiment is not None and not experiment.task.by_data:
        # The answers are of the task that was trained, and another's look like them.
        ours = described_task(experiment.task)
        if (ours["kind"] or ours["class"]) != name:
            raise UsageError(
                f"{root} was trained on another task, {name}, than the {ours['kind'] or ours['class']} here"
            )
    if (known := known_task(said["kind"])) is not None:
        return known.restored(said.get("state"))
    if experiment is None:
        raise UsageError(
            f"{root} was trained on a task of one's own, {said['class']}; "
            "hand over its experiment: rnnjax.load(folder, experiment=...)"
        )
    return experiment.task.restored(said.get("state"))


def model(
    folder: WorkDir, run: Run, spec: Spec, task: Task, experiment: Experiment | None
) -> tuple[nn.Module, dict[str, Any]]:
    """The module that was trained, and the shapes of what is read of its checkpoints.

    Raises:
      UsageError: if the module that is handed over is another, or none is.
      RunError: if what was kept describes no model.
    """
    section = run.config.model
    if experiment is not None and is_section(section) and not is_section(experiment.model):
        raise UsageError(
            f"{folder.root} was trained with another module than the {type(experiment.model).__name__} here"
        )
    if isinstance(section, HandedOver):
        if experiment is None:
            raise UsageError(
                f"{folder.root} was trained with a module of one's own, {section.name}; "
                "hand over its experiment: rnnjax.load(folder, experiment=...)"
            )
        section = experiment.model
    try:
        model = made_model(section, spec, task)
        averaged = getattr(run.config.optim, "ema_decay", 0.0) > 0
        like = shapes_of(model, spec.zeros(), averaged=averaged)
    except RnnjaxError:
        raise
    except Exception as error:  # sizes that no model can have are met by whatever computes with them first
        raise RunError(
            f"{folder.config} and {folder.preprocess} describe no model: {str(error).splitlines()[0][:300]}"
        ) from error
    ours = Run(run.experiment, run.seed, run.config, model=module_identity(model, _variables(like)))
    if differences := ours.other_module(run):
        raise UsageError(
            f"{folder.root} was trained with another module: {differences[0]}; "
            "a module of your own is loaded by rnnjax.load(folder, experiment=...)"
        )
    return model, like


def _variables(like: Mapping[str, Any]) -> dict[str, Any]:
    return {"params": like["params"], **like["model_state"]}

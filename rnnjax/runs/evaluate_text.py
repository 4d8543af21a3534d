"""A language model on another text: read in its order, so that each token is predicted with all that precedes it."""

import dataclasses
from typing import Any

import numpy as np

from rnnjax import terminal
from rnnjax.config import OptimConfig
from rnnjax.data import Dataset
from rnnjax.data.plan import Streams
from rnnjax.data.tokens import UNKNOWN
from rnnjax.experiment import Experiment
from rnnjax.runs.evaluate import divided, of_folder
from rnnjax.runs.finish import Reported, reported
from rnnjax.runs.predict import Predictor
from rnnjax.runs.record import Run
from rnnjax.training.runner import Runner

_LEAST = 8
"""Windows that a stream has at least: each begins without what precedes it."""


def evaluated_text(
    experiment: Experiment, run: Run, trained: Predictor, dataset: Dataset
) -> tuple[Reported, dict[str, Any]]:
    """What a language model does on the windows of a text, and what was counted in it.

    The text is read in as many streams as a batch of the training has, as a split is; a short one in fewer.

    Args:
      experiment: whose command line was asked.
      run: what the work folder records.
      trained: its model.
      dataset: the windows as its validation split.
    """
    of_run = of_folder(experiment, run)
    streams = max(min(of_run.data.batch_size, len(dataset.validation) // _LEAST), 1)
    section = dataclasses.replace(of_run.data, batch_size=streams)
    dataset = dataclasses.replace(dataset, plan=Streams())
    devices, section = divided(section, dataset)
    # Nothing is trained.
    train = dataclasses.replace(of_run.train, accumulate=1)
    parts: dict[str, Any] = {"model": trained.model, "task": trained.task, "optim": OptimConfig(), "train": train}
    program = Runner(dataclasses.replace(of_run, data=section, **parts), dataset, devices)
    targets = np.asarray(dataset.validation["targets"])
    tokens, unknown = int((targets >= 0).sum()), int((targets == UNKNOWN).sum())
    if unknown:
        terminal.note(
            f"{unknown:,} of {tokens:,} tokens of {dataset.name} are outside the vocabulary ({unknown / tokens:.1%}) "
            "and count as one, the unknown: the loss is too low by what they are"
        )
    counted = {"tokens": tokens, "unknown": unknown / tokens, "streams": streams}
    return reported(program, trained.variables, "validation"), counted

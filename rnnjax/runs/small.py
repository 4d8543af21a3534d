"""Few data at the defaults: a batch that is larger than the training split becomes smaller, and says so."""

import dataclasses
from typing import Any

from rnnjax.data import Dataset
from rnnjax.experiment import Experiment


def fitted(experiment: Experiment, dataset: Dataset, devices: int) -> tuple[Experiment, Dataset]:
    """An experiment whose batch its training split can fill, and the data with a line on that.

    Only where the data section gives way, see :meth:`rnnjax.config.data.DataConfig.fitting`.

    Args:
      experiment: as it was asked for.
      dataset: what its data section loaded.
      devices: over which a batch divides.
    """
    section: Any = experiment.data
    examples, batch = len(dataset.train), section.batch_size
    if batch <= examples or not hasattr(section, "fitting"):
        return experiment, dataset
    smaller = section.fitting(examples, devices * experiment.train.accumulate)
    if smaller.batch_size == batch:
        return experiment, dataset
    line = f"batches of {smaller.batch_size}, not {batch}: there are {examples:,} training {dataset.preprocess.rows}"
    changed = dataclasses.replace(experiment, data=smaller)
    return changed, dataclasses.replace(dataset, understood=(*dataset.understood, line))

"""Few data at the defaults: a batch that is larger than the training split becomes smaller, and devices idle, said."""

import dataclasses
from typing import Any

from rnnjax.data import Dataset
from rnnjax.experiment import Experiment
from rnnjax.training.parallel import DataParallel


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


def spread(experiment: Experiment, dataset: Dataset, parallel: DataParallel) -> tuple[Dataset, DataParallel]:
    """The devices that few training examples are spread over, and the data with a line on them where not all are.

    Each part of a batch that is accumulated has a row for each device, so that examples which are fewer than the
    devices leave some of these idle; no batch size would be one for all. Devices of other hosts cannot be left out.

    Args:
      experiment: as it was asked for.
      dataset: what its data section loaded.
      parallel: over the devices that there are.
    """
    devices, parts = parallel.devices, experiment.train.accumulate
    examples, batch = len(dataset.train), experiment.data.batch_size
    if parallel.device_count > len(devices) or examples >= len(devices) * parts:
        return dataset, parallel
    most = max(min(examples, batch) // parts, 1)
    used = next((n for n in range(most, 0, -1) if batch > examples or batch % (n * parts) == 0), 1)
    line = f"{used} of {len(devices)} devices: there are {examples:,} training {dataset.preprocess.rows}"
    changed = dataclasses.replace(dataset, understood=(*dataset.understood, line))
    return changed, DataParallel(devices[:used])

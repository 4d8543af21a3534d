"""Images read row by row: two layers of LSTM, as of ``digits_rows`` and ``mnist_rows``."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from experiments import digits_rows, mnist_rows
from experiments.benchmarks.training_tasks.part import Part, constant
from rnnjax.config import ImageModel, TrainConfig
from rnnjax.data import Dataset
from rnnjax.experiment import Experiment


@dataclass(frozen=True)
class ImageRows(Part):
    """Classes of images, whose rows of pixels are the steps."""

    differences: ClassVar[tuple[str, ...]] = (
        "Images are not augmented; Keras and PyTorch get them as float32 arrays that were normalised beforehand, "
        "rnnjax normalises them inside its compiled step.",
    )

    def arrays(self, dataset: Dataset, split: str) -> dict[str, np.ndarray]:
        """Normalised images ``[N, rows, pixels]`` and labels."""
        examples = getattr(dataset, split)
        images = np.asarray(dataset.preprocess.on_device({"inputs": examples["inputs"]})["inputs"])
        return examples.stored() | {"inputs": images.reshape(*images.shape[:2], -1)}


def digits(quick: bool, folder: str) -> ImageRows:
    """scikit-learn's handwritten digits, 8 x 8 pixels."""
    experiment, calls = digits_rows.EXPERIMENT, digits_rows.EXPERIMENT.train.steps_per_call
    train = TrainConfig(epochs=60, steps_per_call=calls)
    return _small(ImageRows(_experiment(experiment, train), goal=0.95, interval=640, segment=200), quick)


def mnist(quick: bool, folder: str) -> ImageRows:
    """MNIST; a chunk is what is left untimed after a switch, and is short since its steps are long."""
    train = TrainConfig(epochs=4, steps_per_call=3)
    return _small(ImageRows(_experiment(mnist_rows.EXPERIMENT, train), goal=0.98, interval=13_824, segment=9), quick)


def _experiment(experiment: Experiment, train: TrainConfig) -> Experiment:
    data: Any = replace(experiment.data, max_shift=0, max_rotation=0.0, max_zoom=0.0, cutout=0)
    model = ImageModel(features=experiment.model.features, dropout=experiment.model.dropout)
    return Experiment(name=experiment.name, data=data, model=model, optim=constant(experiment.optim, 2e-3), train=train)


def _small(part: ImageRows, quick: bool) -> ImageRows:
    if not quick:
        return part
    experiment = part.experiment
    model = replace(experiment.model, features=(8,) * len(experiment.model.features))
    train = replace(experiment.train, epochs=1)
    return replace(part, experiment=replace(experiment, model=model, train=train), goal=0.05, segment=4)

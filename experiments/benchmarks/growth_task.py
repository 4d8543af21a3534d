"""A training step of the kind of ``mnist_rows``: its own experiment, on images that are made here."""

import dataclasses

import numpy as np

from experiments.mnist_rows import EXPERIMENT
from rnnjax.data import Dataset, Examples, ImagePreprocess, labelled
from rnnjax.experiment import Experiment

SIDE, CLASSES = 28, 10
FEATURES = EXPERIMENT.model.features


def experiment(batch: int, features: tuple[int, ...] = FEATURES) -> Experiment:
    """The experiment without dropout, which every device draws anew, and with one step a call.

    Args:
      batch: of all devices together.
      features: of the layers.
    """
    return dataclasses.replace(
        EXPERIMENT,
        data=dataclasses.replace(EXPERIMENT.data, batch_size=batch),
        model=dataclasses.replace(EXPERIMENT.model, features=features, dropout=0.0),
        train=dataclasses.replace(EXPERIMENT.train, epochs=1, steps_per_call=1),
    )


def dataset(rows: int) -> Dataset:
    """Random pixels in the shape of MNIST's, with labels; as many to train on, a few to evaluate on."""
    random = np.random.default_rng(0)

    def split(size: int) -> Examples:
        pixels = random.integers(0, 256, (size, SIDE, SIDE, 1), np.uint8)
        return labelled(pixels, random.integers(0, CLASSES, size, np.int32))

    train, few = split(rows), split(CLASSES)
    fitted = ImagePreprocess.fit(np.asarray(train["inputs"][:SIDE]), tuple(map(str, range(CLASSES))))
    return Dataset("made_up", train, few, few, fitted)

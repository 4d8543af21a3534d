"""Permuted MNIST: the pixels of :mod:`experiments.mnist_pixels` in one other order, by a fixed seed.

All images are permuted alike, so that neighbours are far apart in time and nothing is near what it belongs to. The
order is that of ``--data.permutation-seed`` and kept in the run; published figures are of other orders. What decides is
what is remembered of the whole: the linear recurrences' states begin with memories of about an image or longer and with
any phase, so that the last ones are near a random projection of all pixels, and only those are read.
"""

import dataclasses
import sys

from experiments.mnist_pixels import EXPERIMENT as PIXELS
from experiments.mnist_pixels import variants
from rnnjax import Target, main
from rnnjax.layers.cells import LRUCell


class RememberingLRU(LRUCell):
    """A linear recurrent unit of 128 states that begin with memories of 500 to 10,000 steps."""

    min_radius: float = 0.998
    max_radius: float = 0.9999
    states: int | None = 128


EXPERIMENT = dataclasses.replace(
    PIXELS,
    name="mnist_permuted",
    summary="an LSTM(128) reads MNIST pixel by pixel in another order",
    target=Target(value=0.96, source="LSTM 91 to 95.1, LMU 97.2 %"),
    cost="5 epochs of 54,000 images of 784 steps",
    data=dataclasses.replace(PIXELS.data, permutation_seed=0, max_shift=0),
    train=dataclasses.replace(PIXELS.train, epochs=5),
    variants=variants(
        Target(value=0.96, source="LSTM 91 to 95.1, LMU 97.2, HiPPO 98.3 %; aim 97.5 %"),
        Target(value=0.983, source="HiPPO 98.3 %"),
        cell=RememberingLRU,
        features=(64, 64),
        pooling=("last",),
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

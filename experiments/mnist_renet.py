"""MNIST by recurrences from all four sides in place of convolutions: ReNet (Visin et al. 2015, arXiv:1505.00393).

The first layer sweeps over patches of 4 × 4 pixels, the second over what came out; both read each column down and up,
and then each row to the right and to the left. The published 99.55 % are of two layers of GRU(256) over patches of
2 × 2 and a hidden layer of 4,096.
"""

import sys

from rnnjax import RNN, Bidirectional, Experiment, GRUCell, ImageData, OptimConfig, Target, TrainConfig, main
from rnnjax.layers.sweeps import Sweep, SweepStack
from rnnjax.models.head import PooledHead
from rnnjax.models.image import ImageClassifier


def both_ways(features: int) -> Bidirectional:
    """A GRU from each end."""
    return Bidirectional(RNN(GRUCell(features)), RNN(GRUCell(features), reverse=True))


def renet(features: tuple[int, ...] = (128, 128), first_patch: int = 4, dropout: float = 0.2) -> ImageClassifier:
    """Sweeps of so many features in each direction, pooled over all places."""
    sweeps = [
        Sweep(both_ways(count), both_ways(count), patch=1 if number else first_patch)
        for number, count in enumerate(features)
    ]
    head = PooledHead(10, ("mean", "max"), dropout=dropout, dense=(256,))
    return ImageClassifier(None, head, conv=SweepStack(sweeps, dropout=dropout))


EXPERIMENT = Experiment(
    name="mnist_renet",
    summary="two layers of GRU(128) sweep over MNIST from all four sides",
    target=Target(value=0.993, source="ReNet: 99.55 %"),
    cost="14 epochs of 54,000 images",
    data=ImageData(name="mnist", batch_size=128, max_shift=2),
    model=renet(),
    optim=OptimConfig(learning_rate=2e-3, weight_decay=1e-2, label_smoothing=0.05, ema_decay=0.998, clip_norm=1.0),
    train=TrainConfig(epochs=14, steps_per_call=8),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

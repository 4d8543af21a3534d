"""A cell whose step is two layers deep, used by hand in a module and by name in the package's own model."""

import flax.linen as nn
import numpy as np

import rnnjax
from rnnjax.layers.cells import SILENT

SIZE = 6


class DeepCell(rnnjax.RecurrentCell):
    """Deep transition RNN (Pascanu et al. 2014, arXiv:1312.6026): ``h' = tanh(W2 tanh(W1 h + U x))``."""

    @nn.compact
    def step(self, carry, projected, noise=SILENT):
        inner = nn.tanh(nn.Dense(self.features)(carry) + projected)
        hidden = nn.tanh(nn.Dense(self.features)(inner))
        return hidden, hidden


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with a bright row, and which it is."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.normal(scale=0.5, size=(count, SIZE, SIZE, 1))
    x[np.arange(count), 2 * y] += 1
    return x, y


class ByHand(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        _, outputs = rnnjax.RNN(DeepCell(12))(inputs[..., 0])
        return nn.Dense(3)(outputs[:, -1])


X, Y = bars(320, seed=0)
TEST = bars(64, seed=1)
EXPERIMENT = rnnjax.Experiment(
    name="own_cell",
    data=rnnjax.Arrays(X, Y, test=TEST, validation_fraction=0.2, batch_size=16),
    model=rnnjax.ImageModel(cell=DeepCell, features=(12,)),  # pyright: ignore[reportArgumentType]
    optim=rnnjax.OptimConfig(learning_rate=2e-2),
    train=rnnjax.TrainConfig(epochs=4, steps_per_call=4),
    variants={"by-hand": rnnjax.Variant(summary="the cell in a module of one's own", replace={"model": ByHand()})},
)
BAR = np.bincount(TEST[1]).max() / len(TEST[1])
ASK = X[:5]

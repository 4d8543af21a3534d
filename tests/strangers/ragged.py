"""Regression on sequences of different lengths: each one's mean."""

import flax.linen as nn
import numpy as np
import optax

import rnnjax


def sequences(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    x = [rng.normal(loc=rng.normal(), size=(rng.integers(2, 9), 1)) for _ in range(count)]
    return x, np.array([50 + 20 * row.mean() for row in x])


class Mean(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        carry, _ = rnnjax.RNN(rnnjax.GRUCell(16))(inputs, lengths=lengths)
        return nn.Dense(1)(carry)


X, Y = sequences(320, seed=0)
TEST = sequences(64, seed=1)
EXPERIMENT = rnnjax.Experiment(
    name="ragged",
    data=rnnjax.Arrays(X, Y, test=TEST, validation_fraction=0.2, batch_size=16),
    model=Mean(),
    task=rnnjax.Regression(),
    optim=optax.adam(1e-2),
    train=rnnjax.TrainConfig(epochs=8, steps_per_call=4),
)
BAR = float(np.sqrt(np.mean((TEST[1] - Y.mean()) ** 2)))  # the root mean squared error of always saying the mean
ASK = X[:5]

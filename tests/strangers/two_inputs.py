"""A model of two inputs, a sequence and what is known beside it: does the number at that place exceed the threshold?"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

import rnnjax

STEPS = 6


def questions(count: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    sequence, threshold = rng.normal(size=(count, STEPS, 1)), rng.normal(size=(count, 1))
    return {"sequence": sequence, "threshold": threshold}, (sequence.mean((1, 2)) > 0.3 * threshold[:, 0]).astype(int)


class Compare(nn.Module):
    features: int = 16

    @nn.compact
    def __call__(self, sequence, threshold, *, train=False):
        _, outputs = rnnjax.RNN(rnnjax.GRUCell(self.features))(sequence)
        both = jnp.concatenate([outputs[:, -1], nn.Dense(self.features)(threshold)], -1)
        return nn.Dense(2)(nn.tanh(nn.Dense(self.features)(both)))


X, Y = questions(320, seed=0)
TEST = questions(64, seed=1)
EXPERIMENT = rnnjax.Experiment(
    name="two_inputs",
    data=rnnjax.Arrays(X, Y, test=TEST, names=("below", "above"), validation_fraction=0.2, batch_size=16),
    model=Compare(),
    optim=rnnjax.OptimConfig(learning_rate=2e-2, schedule="constant"),
    train=rnnjax.TrainConfig(epochs=6, steps_per_call=4),
)
BAR = max(TEST[1].mean(), 1 - TEST[1].mean())
ASK = {name: array[:5] for name, array in X.items()}

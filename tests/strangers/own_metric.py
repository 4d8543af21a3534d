"""A task of one's own: two classes of which one is rare, judged by F1."""

from dataclasses import dataclass

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

import rnnjax


@dataclass(frozen=True)
class Alarms(rnnjax.Task):
    """Binary cross-entropy in which an alarm weighs more; F1 of its counts."""

    headline = rnnjax.Metric("f1", "max", "{:.3f}")
    alarm: float = 4.0

    def sums(self, outputs, batch, *, train):
        logits, alarm, real = outputs[:, 0], batch["labels"] == 1, batch["mask"]
        loss = optax.sigmoid_binary_cross_entropy(logits, alarm) * jnp.where(alarm, self.alarm, 1)
        said = logits > 0
        counts = {"hits": said & alarm, "false": said & ~alarm, "missed": ~said & alarm, "weight": jnp.array(True)}
        return {"loss": jnp.where(real, loss, 0).sum()} | {name: (real & c).sum() for name, c in counts.items()}

    def finish(self, totals):
        errors = totals["false"] + totals["missed"]
        f1 = 2 * totals["hits"] / max(2 * totals["hits"] + errors, 1)
        return {"loss": float(totals["loss"] / totals["weight"]), "f1": float(f1)}

    def answers(self, outputs, spec):
        return outputs[:, 0] > 0


class Watch(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        _, outputs = rnnjax.RNN(rnnjax.LSTMCell(12))(inputs)
        return nn.Dense(1)(rnnjax.pool(outputs, None, "max"))


def measured(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(count, 6, 1))
    return x, (x.max((1, 2)) > 2).astype(int)


X, Y = measured(480, seed=0)
TEST = measured(160, seed=1)
EXPERIMENT = rnnjax.Experiment(
    name="own_metric",
    data=rnnjax.Arrays(X, Y, test=TEST, validation_fraction=0.2, batch_size=16),
    model=Watch(),
    task=Alarms(),
    optim=rnnjax.OptimConfig(learning_rate=2e-2),
    train=rnnjax.TrainConfig(epochs=6, steps_per_call=8),
)
BAR = 2 * TEST[1].mean() / (1 + TEST[1].mean())  # of always raising the alarm; of never doing so it is 0
ASK = X[:5]

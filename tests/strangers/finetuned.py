"""A reader of some digits, fine-tuned on others: its weights taken, its first layer frozen, then unfrozen."""

import flax.linen as nn
import numpy as np
from sklearn.datasets import load_digits

import rnnjax

IMAGES, DIGITS = load_digits(return_X_y=True)
IMAGES = IMAGES.reshape(-1, 8, 8).astype(np.float32) / 16


class Rows(nn.Module):
    classes: int

    def setup(self):
        self.reader = rnnjax.StackedRNN([rnnjax.RNN(rnnjax.GRUCell(16)), rnnjax.RNN(rnnjax.GRUCell(16))])
        self.head = nn.Dense(self.classes)

    def __call__(self, inputs, *, train=False):
        _, outputs = self.reader(inputs, train=train)
        return self.head(outputs.mean(1))


def reading(classes, **optim):
    """An experiment on the digits of those classes."""
    rows = np.isin(DIGITS, classes)
    x, y = IMAGES[rows], np.searchsorted(classes, DIGITS[rows])
    return rnnjax.Experiment(
        name="finetuned",
        data=rnnjax.Arrays(x[64:], y[64:], test=(x[:64], y[:64]), validation_fraction=0.2, batch_size=16),
        model=Rows(len(classes)),
        optim=rnnjax.OptimConfig(learning_rate=1e-2, **optim),
        train=rnnjax.TrainConfig(epochs=4, steps_per_call=8),
    )


FIRST = reading([0, 1, 2, 3, 4, 5], ema_decay=0.9)
EXPERIMENT = reading([6, 7, 8, 9], groups=("reader/layers_0=0.1@3", "reader=0.3@2"))


def finetuned(first, workdir=None):
    """What FIRST read in its work folder is where EXPERIMENT begins: all but the head."""
    return rnnjax.fit(EXPERIMENT, workdir=workdir, init_from=first, init_parts=["^(?!head)"])


BAR = 0.5
ASK = IMAGES[:5]

if __name__ == "__main__":
    rnnjax.fit(FIRST, workdir="runs/first")
    print(finetuned("runs/first"))

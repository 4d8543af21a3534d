"""A language model with carried state: a letter, some x, and its capital, further away than n-grams and windows see."""

from dataclasses import dataclass

import flax.linen as nn
import numpy as np

import rnnjax

WINDOW = 5


def text(count, seed):
    rng = np.random.default_rng(seed)
    names = rng.choice(list("abcd"), count)
    return "".join(name + "x" * rng.integers(2, 6) + name.upper() for name in names)


@dataclass(frozen=True, kw_only=True)
class TextFile(rnnjax.DataConfig):
    letters: str = "abcdABCDx"

    def load(self):
        splits = []
        for seed, count in enumerate((1500, 200, 200)):
            ids = np.array([self.letters.index(letter) for letter in text(count, seed)], np.int32)
            windows = [part[: (len(ids) - 1) // WINDOW * WINDOW].reshape(-1, WINDOW) for part in (ids, ids[1:])]
            splits.append(rnnjax.Examples({"inputs": windows[0], "targets": windows[1]}))
        spec = rnnjax.Spec({"inputs": rnnjax.Shape.of(splits[0]["inputs"][:1])}, outputs=len(self.letters))
        return rnnjax.Dataset("text_file", splits[0], splits[1], splits[2], given=spec, plan=rnnjax.Streams())


class CharModel(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, train=False):
        carried = rnnjax.Carried(rnnjax.StackedRNN([rnnjax.RNN(rnnjax.LSTMCell(24))]))
        _, hidden = carried(nn.Embed(9, 8)(inputs), train=train)
        return nn.Dense(9)(hidden)


EXPERIMENT = rnnjax.Experiment(
    name="characters",
    data=TextFile(batch_size=16),
    model=CharModel(),
    task=rnnjax.NextToken(),
    optim=rnnjax.OptimConfig(learning_rate=3e-2),
    train=rnnjax.TrainConfig(epochs=8, steps_per_call=20),
)


def trigram_loss(trained, tested):
    seen = {}
    for *pair, letter in zip(trained, trained[1:], trained[2:], strict=False):
        seen.setdefault(tuple(pair), dict.fromkeys(TextFile.letters, 1))[letter] += 1
    rows = [(seen[a, b], letter) for a, b, letter in zip(tested, tested[1:], tested[2:], strict=False)]
    return -np.mean([np.log(row[letter] / sum(row.values())) for row, letter in rows])


BAR = trigram_loss(text(1500, 0), text(200, 2))
ASK = np.arange(5 * WINDOW, dtype=np.int32).reshape(5, WINDOW) % 9

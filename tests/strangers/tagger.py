"""Tagging: which words are names, of which kind, is told by words before and after them."""

import flax.linen as nn
import numpy as np

import rnnjax

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
OPEN, PERSON, PLACE, WORDS = 1, 2, 3, 24


def sentences(count: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Words, and their tags: names stand between a word that opens them and one that says of what kind they were."""
    rng, x, y = np.random.default_rng(seed), [], []
    for _ in range(count):
        words, tags = [], []
        for _ in range(rng.integers(1, 4)):
            plain, name, kind = rng.integers(0, 3), rng.integers(1, 4), rng.integers(0, 2)
            words += [*rng.integers(4, WORDS, plain), OPEN, *rng.integers(4, WORDS, name), (PERSON, PLACE)[kind]]
            tags += [0] * (plain + 1) + [1 + 2 * kind] + [2 + 2 * kind] * (name - 1) + [0]
        x.append(np.array(words, np.int32))
        y.append(np.array(tags))
    return x, y


class Tagger(nn.Module):
    features: int = 16

    @nn.compact
    def __call__(self, inputs, *, lengths, train=False):
        words = nn.Embed(WORDS, self.features)(inputs)
        forwards, backwards = (rnnjax.RNN(rnnjax.LSTMCell(self.features), reverse=back) for back in (False, True))
        _, outputs = rnnjax.Bidirectional(forwards, backwards)(words, lengths=lengths)
        return nn.Dense(len(TAGS))(outputs)


X, Y = sentences(480, seed=0)
TEST = sentences(96, seed=1)
EXPERIMENT = rnnjax.Experiment(
    name="tagger",
    data=rnnjax.Arrays(X, Y, test=TEST, names=TAGS, validation_fraction=0.2, batch_size=16),
    model=Tagger(),
    task=rnnjax.PerStep(),
    optim=rnnjax.OptimConfig(learning_rate=2e-2),
    train=rnnjax.TrainConfig(epochs=6, steps_per_call=4),
)
COUNTS = np.zeros((WORDS, len(TAGS)))
np.add.at(COUNTS, (np.concatenate(X), np.concatenate(Y)), 1)
BAR = (COUNTS.argmax(1)[np.concatenate(TEST[0])] == np.concatenate(TEST[1])).mean()  # the most frequent tag of a word
ASK = X[:5]

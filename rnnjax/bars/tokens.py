"""The bar for language models: what counts of a few neighbouring tokens say of the next."""

import numpy as np

from rnnjax.bars import kneser_ney
from rnnjax.bars.base import Asked, Bar
from rnnjax.data import Examples
from rnnjax.data.tokens import END_TOKEN
from rnnjax.data.window_preprocess import WindowPreprocess

_ORDERS = {"words": 3, "plain-words": 3}
_CHARACTERS = 6
"""Longest n-grams of words, and of the tokens of the other tokenizers."""

_A_SECOND = 400_000
"""Tokens that are counted in a second, roughly, on one core that has other work too."""


def bar(asked: Asked) -> Bar | None:
    """An interpolated n-gram model of the training text; None where the data are no windows of a text.

    Each target's history reaches back over its window, so that it is as well informed as a language model that carries
    its state, but for a token or two at the beginning of each stream.
    """
    dataset, preprocess = asked.dataset, asked.dataset.preprocess
    if not asked.task.generates or not isinstance(preprocess, WindowPreprocess):
        return None
    train, words = ids_of(dataset.train), preprocess.vocabulary.words
    counted = train[: max(int(asked.seconds * _A_SECOND), 10_000)]
    order = _ORDERS.get(preprocess.tokenizer, _CHARACTERS)
    end = words.index(END_TOKEN) if END_TOKEN in words else None
    model = kneser_ney.fit(counted, len(words), order, end)
    targets = np.asarray(asked.examples.arrays["targets"])
    losses = np.zeros(targets.shape)
    losses[targets >= 0] = -model.log_probabilities(ids_of(asked.examples))
    sums, weights = losses.sum(1), (targets >= 0).sum(1)
    note = "" if len(counted) == len(train) else f"of the first {len(counted):,} of {len(train):,} tokens"
    outcomes = np.stack([sums / np.maximum(weights, 1), weights], 1)
    metrics = asked.task.finish({"loss": sums.sum(), "weight": weights.sum()})
    return Bar(f"Kneser-Ney {order}-grams", metrics, outcomes, note)


def ids_of(examples: Examples) -> np.ndarray:
    """The tokens ``[M]`` of a text that was cut into windows."""
    inputs, targets = (np.asarray(examples.arrays[name]).ravel() for name in ("inputs", "targets"))
    return np.concatenate([inputs[:1], targets[targets >= 0]])

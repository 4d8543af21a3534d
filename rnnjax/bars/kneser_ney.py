"""The bar of language models: an interpolated n-gram model with modified Kneser-Ney smoothing.

Chen and Goodman (1999, "An empirical study of smoothing techniques for language modeling", section 3): with ``h'`` the
history ``h`` without its first token,

    p(w | h) = (c(h w) - D(c(h w))) / c(h) + g(h) p(w | h')

where ``c`` counts n-grams at the highest order, and below it the different tokens that an n-gram is seen behind; where
``c(h) = sum over w of c(h w)``, and ``g(h)`` is what the discounts ``D`` take away, over ``c(h)``, so that all
probabilities of a history sum to one. An unseen history says what ``h'`` says, and the empty history falls back on
``1 / V``. The discounts of counts of 1, 2, and 3 or more come from the numbers of n-grams that are counted 1 to 4
times, at each order.

An n-gram has a number: its place among the n-grams of its length that occur. It is found by the number of its history,
times the vocabulary's size, plus its last token, so that a lookup is a binary search and no loop runs over tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.errors import DataError, UsageError


@dataclass(frozen=True)
class Level:
    """What is known of the n-grams of one length.

    Attributes:
      keys: ``[G]`` int64, rising: number of the history times the vocabulary's size, plus the last token.
      share: ``[G]`` float64, the discounted count over that of the history.
      left: ``[H]`` float64, a history of number ``h``'s ``g(h)``: what the discounts leave to the next shorter history;
        1 where nothing was counted behind it.
    """

    keys: np.ndarray
    share: np.ndarray
    left: np.ndarray

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The number of each n-gram, -1 where it did not occur."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        return np.where(self.keys[place] == keys, place, -1)


@dataclass(frozen=True)
class Model:
    """A fitted model; see :func:`fit`.

    Attributes:
      unigrams: ``[V]`` float64, the probability of each token without a history.
      levels: those of two tokens, of three, and so on.
      end: the token behind which a history begins anew; None: none does.
    """

    unigrams: np.ndarray
    levels: tuple[Level, ...]
    end: int | None = None

    def log_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """The natural logarithm of the probability of each token but the first, given those before: ``[M - 1]``.

        Args:
          ids: ``[M]`` integers, the tokens of a text in its order.

        Raises:
          DataError: if there are other ids than the vocabulary's.
        """
        ids = _checked(ids, len(self.unigrams), 1)
        probabilities = self.unigrams[ids]
        history = ids  # the number of the n-gram that ends at each token; -1: it did not occur
        for level in self.levels:
            before = _histories(history, ids, self.end, first=level is self.levels[0])
            rows = np.flatnonzero(before >= 0)
            found = level.find(before[rows] * len(self.unigrams) + ids[rows])
            probabilities[rows] *= level.left[before[rows]]
            probabilities[rows[found >= 0]] += level.share[found[found >= 0]]
            history = np.full(len(ids), -1)
            history[rows] = found
        return np.log(probabilities[1:])

    def perplexity(self, ids: np.ndarray) -> float:
        """The exponential of the mean negative log probability of each token but the first.

        Raises:
          DataError: if there are other ids than the vocabulary's, or fewer than two.
        """
        return float(np.exp(-self.log_probabilities(_checked(ids, len(self.unigrams), 2)).mean()))

    def distribution(self, history: Sequence[int]) -> np.ndarray:
        """The probability ``[V]`` of each token behind a history of any length, of which the last tokens count.

        Raises:
          DataError: if the history has other ids than the vocabulary's.
        """
        size = len(self.unigrams)
        ids = _checked(np.array(history, np.int64), size, 0)
        probabilities, numbers = self.unigrams.copy(), ids
        for level in self.levels:
            if not len(numbers) or numbers[-1] < 0:
                break
            begin, stop = np.searchsorted(level.keys, [numbers[-1] * size, (numbers[-1] + 1) * size])
            probabilities = level.left[numbers[-1]] * probabilities
            probabilities[level.keys[begin:stop] - numbers[-1] * size] += level.share[begin:stop]
            before = _histories(numbers, ids, self.end, first=level is self.levels[0])
            numbers = np.where(before >= 0, level.find(before * size + ids), -1)
            if ids[-1] == self.end:
                break
        return probabilities


def fit(ids: np.ndarray, vocabulary_size: int, order: int = 3, end: int | None = None) -> Model:
    """Counts the n-grams of a text.

    Args:
      ids: ``[M]`` integers below ``vocabulary_size``, the tokens of a text in its order.
      vocabulary_size: V, over which the probabilities are spread; an unknown token is one of its tokens.
      order: the longest n-gram: 3 for two tokens of history.
      end: the token that ends a document: no history reaches back over it. An n-gram that begins with it is seen behind
        nothing, and is counted as often as it occurs.

    Raises:
      UsageError: if the order or the vocabulary's size is not 1 or more, or ``end`` is not of the vocabulary.
      DataError: if there are other ids, or no more of them than the order.
    """
    if order < 1 or vocabulary_size < 1:
        raise UsageError(f"order and vocabulary_size must be 1 or more, got {order} and {vocabulary_size}")
    if end is not None and not 0 <= end < vocabulary_size:
        raise UsageError(f"end must be a token of the vocabulary, 0..{vocabulary_size - 1}, or None, got {end}")
    ids = _checked(ids, vocabulary_size, order + 1)
    levels, numbers, histories = [], ids, 1
    keys, often = np.arange(vocabulary_size), np.bincount(ids, minlength=vocabulary_size)
    for length in range(2, order + 1):
        before = _histories(numbers, ids, end, first=length == 2)
        rows = np.flatnonzero(before >= 0)
        longer_keys, inverse, longer_often = np.unique(
            before[rows] * vocabulary_size + ids[rows], return_inverse=True, return_counts=True
        )
        counts = np.bincount(_suffixes(inverse, numbers[rows], len(longer_keys)), minlength=len(keys))
        if end is not None and length > 2:
            _count_beginnings(counts, often, numbers, ids, end, length - 1)
        levels.append(_level(keys, counts, histories, vocabulary_size))
        numbers = np.full(len(ids), -1)
        numbers[rows] = inverse
        histories, keys, often = len(keys), longer_keys, longer_often
    unigrams, *others = [*levels, _level(keys, often, histories, vocabulary_size)]
    return Model(unigrams.share + unigrams.left[0] / vocabulary_size, tuple(others), end)


def _histories(numbers: np.ndarray, ids: np.ndarray, end: int | None, *, first: bool) -> np.ndarray:
    """The numbers of the n-grams before each token; -1 where there is none, or it would reach over a document's end."""
    before = np.concatenate([[-1], numbers[:-1]])
    if end is not None and not first:
        before[1:][ids[:-1] == end] = -1
    return before


def _suffixes(longer: np.ndarray, shorter: np.ndarray, number: int) -> np.ndarray:
    """What each of so many n-grams is without its first token, from the two that end at the same places of a text."""
    suffixes = np.zeros(number, np.int64)
    suffixes[longer] = shorter
    return suffixes


def _count_beginnings(
    counts: np.ndarray, often: np.ndarray, numbers: np.ndarray, ids: np.ndarray, end: int, length: int
) -> None:
    """Counts as often as they occur the n-grams that begin with a document's end."""
    places = np.flatnonzero(numbers >= 0)
    begun = numbers[places[ids[places - length + 1] == end]]
    counts[begun] = often[begun]


def _level(keys: np.ndarray, counts: np.ndarray, histories: int, vocabulary_size: int) -> Level:
    history = keys // vocabulary_size
    discount = _discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(history, counts, histories)
    taken = np.bincount(history, discount, histories)
    known = np.maximum(total, 1)
    return Level(keys, (counts - discount) / known[history], np.where(total > 0, taken / known, 1.0))


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken from counts of 0, 1, 2, and 3 or more (Chen and Goodman 1999, equation 26).

    Where a text is so short that these are undefined or not between 0 and the count, the one discount of Kneser and Ney
    (1995) is taken from all, ``n1 / (n1 + 2 n2)``, or a half where nothing is counted once.
    """
    n = [int((counts == times).sum()) for times in (1, 2, 3, 4)]
    one = n[0] / (n[0] + 2 * n[1]) if n[0] else 0.5
    if all(n):
        each = [times - (times + 1) * one * n[times] / n[times - 1] for times in (1, 2, 3)]
        if all(0 < discount <= times for times, discount in zip((1, 2, 3), each, strict=True)):
            return np.array([0.0, *each])
    return np.array([0.0, one, one, one])


def _checked(ids: np.ndarray, vocabulary_size: int, least: int) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"token ids must be integers [M], got {ids.dtype} {list(ids.shape)}")
    if len(ids) < least:
        raise DataError(f"{least} tokens or more are needed here, and there are {len(ids)}; give a longer text")
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary_size:
        outside = np.flatnonzero((ids < 0) | (ids >= vocabulary_size))[0]
        raise DataError(f"token ids must lie in 0..{vocabulary_size - 1}, the one at {outside} is {ids[outside]}")
    return ids.astype(np.int64)

"""The n-gram bar against the same formulas written with dictionaries, one n-gram at a time."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax.bars.kneser_ney import fit
from rnnjax.errors import DataError, UsageError


class Dictionaries:
    """Modified Kneser-Ney with dictionaries; documents are lists, each of which ends with its end token."""

    def __init__(self, ids, size, order, end):
        self.size, self.order, self.end = size, order, end
        raw = {n: Counter() for n in range(1, order + 1)}
        for n in raw:
            raw[n].update(gram for gram in zip(*(ids[k:] for k in range(n)), strict=False) if end not in gram[1:-1])
        self.counts = {order: raw[order]}
        for n in range(1, order):
            behind = defaultdict(set)
            for gram in raw[n + 1]:
                behind[gram[1:]].add(gram[0])
            self.counts[n] = {gram: len(behind[gram]) for gram in raw[n]}
            if n > 1:
                self.counts[n] |= {gram: raw[n][gram] for gram in raw[n] if gram[0] == end}
        self.discounts = {n: self._discounts(list(counts.values())) for n, counts in self.counts.items()}

    @staticmethod
    def _discounts(counts):
        n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2) if n1 else 0.5
        if n1 and n2 and n3 and n4:
            three = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
            if 0 < three[0] <= 1 and 0 < three[1] <= 2 and 0 < three[2] <= 3:
                return three
        return y, y, y

    def probability(self, word, history):
        history = tuple(history)[-(self.order - 1) :] if self.order > 1 else ()
        if self.end in history:
            history = history[len(history) - 1 - history[::-1].index(self.end) :]
        if not history:
            return self._at(word, (), 1 / self.size)
        return self._at(word, history, self.probability(word, history[1:]))

    def _at(self, word, history, shorter):
        n = len(history) + 1
        of_history = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == history and count}
        if not of_history:
            return shorter
        total = sum(of_history.values())
        taken = {w: self.discounts[n][min(count, 3) - 1] for w, count in of_history.items()}
        share = (of_history.get(word, 0) - taken.get(word, 0)) / total
        return share + sum(taken.values()) / total * shorter


def text(length, size, seed):
    """Tokens that depend on the two before, the low ones more frequent."""
    rng = np.random.default_rng(seed)
    ids = [0, 1]
    while len(ids) < length:
        likely = (3 * ids[-1] + ids[-2]) % size
        ids.append(likely if rng.random() < 0.4 else int(size * rng.random() ** 2))
    return np.array(ids, np.int32)


@pytest.mark.parametrize("end", [None, 2])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_dictionaries(order, end):
    size, ids, asked = 30, text(2500, 29, 0), text(150, 30, 1)
    model, reference = fit(ids, size, order, end), Dictionaries(ids.tolist(), size, order, end)
    if order == 3:
        assert [len(set(reference.discounts[n])) for n in (2, 3)] == [3, 3], "three discounts, not the one"
    expected = [reference.probability(asked[i], asked[:i].tolist()) for i in range(1, len(asked))]
    np.testing.assert_allclose(np.exp(model.log_probabilities(asked)), expected, rtol=1e-12)
    assert model.perplexity(asked) == pytest.approx(np.exp(-np.log(expected).mean()))
    for history in ([], [3], [3, 4], [2], [3, 2], [2, 3], [29], [29, 4], asked[:20].tolist()):
        whole = [reference.probability(word, history) for word in range(size)]
        np.testing.assert_allclose(model.distribution(history), whole, rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=5, max_size=60), st.sampled_from([None, 0]), st.integers(1, 4), st.data())
def test_every_history_has_probabilities_that_sum_to_one(ids, end, order, drawn):
    ids, size = np.array(ids), 7
    model, reference = fit(ids, size, order, end), Dictionaries(ids.tolist(), size, order, end)
    history = drawn.draw(st.lists(st.integers(0, 6), max_size=4))
    found = model.distribution(history)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found > 0).all()
    np.testing.assert_allclose(found, [reference.probability(word, history) for word in range(size)], rtol=1e-10)
    asked = np.array([*history, 3, 0])
    each = [model.distribution(asked[:i].tolist())[asked[i]] for i in range(1, len(asked))]
    np.testing.assert_allclose(np.exp(model.log_probabilities(asked)), each, rtol=1e-12)


def test_what_stands_before_a_documents_end_says_nothing_of_the_next_document():
    model = fit(text(900, 11, 0), 12, end=2)
    one, other = ([*before, 2, 5, 7] for before in ((3, 4), (8, 9)))
    np.testing.assert_array_equal(*(model.log_probabilities(np.array(ids))[-2:] for ids in (one, other)))
    np.testing.assert_array_equal(model.distribution([3, 2]), model.distribution([9, 2]))
    unaware = fit(text(900, 11, 0), 12)
    assert not np.array_equal(unaware.distribution([3, 2]), unaware.distribution([9, 2]))


def test_two_tokens_of_history_say_more_of_a_text_that_depends_on_both():
    train, held = text(20_000, 50, 0), text(2000, 50, 1)
    one, two, three = (fit(train, 50, order).perplexity(held) for order in (1, 2, 3))
    assert three < 0.7 * min(one, two)
    assert max(one, two) < 50


def test_what_is_no_text_of_the_vocabulary_is_refused():
    for wrong, said in (
        (np.array([[1, 2], [3, 4]]), r"must be integers \[M\], got int64 \[2, 2\]"),
        (np.array([1.0, 2.0, 3.0, 4.0]), "must be integers"),
        (np.array([1, 2, 3, 9]), r"must lie in 0\.\.8, the one at 3 is 9"),
        (np.array([1, -1, 3, 4]), "the one at 1 is -1"),
        (np.array([1, 2, 3]), "4 tokens or more are needed here, and there are 3"),
    ):
        with pytest.raises(DataError, match=said):
            fit(wrong, 9)
    model = fit(np.array([1, 2, 3, 1, 2]), 9)
    with pytest.raises(DataError, match="the one at 0 is 9"):
        model.log_probabilities(np.array([9, 1]))
    with pytest.raises(DataError, match="2 tokens or more"):
        model.perplexity(np.array([1]))
    assert model.log_probabilities(np.array([1])).shape == (0,)
    with pytest.raises(UsageError, match="order and vocabulary_size must be 1 or more, got 0 and 9"):
        fit(np.array([1, 2, 3, 4]), 9, 0)
    with pytest.raises(UsageError, match=r"end must be a token of the vocabulary, 0\.\.8, or None, got 9"):
        fit(np.array([1, 2, 3, 4]), 9, end=9)

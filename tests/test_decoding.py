"""Greedy and beam search against a plain search in NumPy, and against all sequences that there are."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.data.tokens import END, PADDING
from rnnjax.models.decoding import beam_search, greedy, length_penalty, log_probabilities

V, LIMIT = 6, 5
WRITTEN = range(END, V)


def table(seed: int, rows: int = 4, scale: float = 2.0) -> np.ndarray:
    """Logits ``[B, L, V, V]`` of a row's token by its place and the token before it."""
    return np.random.default_rng(seed).normal(size=(rows, LIMIT, V, V)).astype(np.float32) * scale


def stepping(logits, copies: int = 1):
    """A step whose carry is each row's number and place."""

    def step(carry, tokens):
        row, place = carry
        return (
            (row, place + 1),
            jnp.asarray(logits)[row, jnp.minimum(place, LIMIT - 1), tokens],
            jnp.zeros((len(row), 0)),
        )

    rows = jnp.repeat(jnp.arange(len(logits)), copies)
    return step, (rows, jnp.zeros_like(rows))


def normalised(logits: np.ndarray) -> np.ndarray:
    kept = logits.astype(np.float64)
    kept[..., :END] = -np.inf
    return kept - np.log(np.exp(kept).sum(-1, keepdims=True))


def score_of(sequence, logits: np.ndarray, alpha: float) -> float:
    before, total = PADDING, 0.0
    for place, token in enumerate(sequence):
        total += normalised(logits[place, before])[token]
        before = token
    return total / ((5 + len(sequence)) / 6) ** alpha


def plain_beam(logits: np.ndarray, beam: int, alpha: float) -> list[int]:
    """One row: every continuation of every open hypothesis, sorted; without an early stop."""
    opened, ended = [((), 0.0)], []
    for place in range(LIMIT):
        every = []
        for tokens, score in opened:
            following = normalised(logits[place, tokens[-1] if tokens else PADDING])
            every += [((*tokens, token), score + following[token]) for token in WRITTEN]
        every = sorted(every, key=lambda one: -one[1])[:beam]
        ended += [(t, s / ((5 + len(t)) / 6) ** alpha) for t, s in every if t[-1] == END]
        opened = [one for one in every if one[0][-1] != END]
    return list(max(ended or opened, key=lambda one: one[1])[0])


@functools.cache
def searching(beam: int, alpha: float, rows: int):
    def run(logits):
        return beam_search(*stepping(logits, beam), rows, LIMIT, beam, alpha)

    return jax.jit(run)


def rows_of(tokens) -> list[list[int]]:
    return [[token for token in row if token != PADDING] for row in np.asarray(tokens).tolist()]


@pytest.mark.parametrize(("beam", "alpha"), [(2, 0.0), (3, 1.0), (5, 0.6)])
def test_a_beam_finds_what_a_plain_search_finds(beam, alpha):
    for seed in range(12):
        logits = table(seed)
        found = searching(beam, alpha, 4)(logits)
        assert rows_of(found.tokens) == [plain_beam(row, beam, alpha) for row in logits]
        sequences = rows_of(found.tokens)
        if all(row[-1] == END for row in sequences):
            wanted = [score_of(sequence, row, alpha) for sequence, row in zip(sequences, logits, strict=True)]
            np.testing.assert_allclose(found.score, wanted, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_a_beam_that_holds_everything_finds_the_best_of_all_sequences(alpha):
    logits = table(3, rows=2)
    letters = [token for token in WRITTEN if token != END]
    every = [(*body, END) for size in range(LIMIT) for body in itertools.product(letters, repeat=size)]
    wanted = [list(max(every, key=lambda one, row=row: score_of(one, row, alpha))) for row in logits]
    assert rows_of(searching(len(letters) ** (LIMIT - 1) * 2, alpha, 2)(logits).tokens) == wanted


def test_a_beam_of_one_is_the_greedy_search():
    for seed in range(10):
        logits = table(seed)
        one = searching(1, 1.0, 4)(logits)
        plain = jax.jit(lambda logits: greedy(*stepping(logits), 4, LIMIT))(logits)
        np.testing.assert_array_equal(one.tokens, plain.tokens)
        penalty = length_penalty((np.asarray(plain.tokens) != PADDING).sum(1), 1.0)
        np.testing.assert_allclose(one.score, plain.score / penalty, rtol=1e-5)


def test_a_row_is_answered_alike_beside_any_others():
    logits = table(7)
    for beam in (1, 3):
        together = searching(beam, 0.6, 4)(logits)
        for row in range(4):
            alone = searching(beam, 0.6, 1)(logits[row : row + 1])
            np.testing.assert_array_equal(alone.tokens[0], together.tokens[row])
            np.testing.assert_array_equal(alone.score[0], together.score[row])


def test_the_search_ends_when_no_open_hypothesis_can_win():
    """A loop that went on would change the carry."""
    logits = np.zeros((1, LIMIT, V, V), np.float32)
    logits[..., END] = 20.0  # it ends at once, and all that goes on has less than 1e-8
    steps = []

    def step(carry, tokens):
        jax.debug.callback(lambda _: steps.append(1), tokens)
        return carry, jnp.asarray(logits)[jnp.zeros_like(carry), 0, tokens], jnp.zeros((len(tokens), 0))

    for beam in (1, 4):
        steps.clear()
        found = jax.jit(lambda beam=beam: beam_search(step, jnp.zeros(beam, jnp.int32), 1, LIMIT, beam, 1.0))()
        jax.block_until_ready(found)
        jax.effects_barrier()
        assert rows_of(found.tokens) == [[END]]
        assert len(steps) == 1


def test_what_does_not_end_is_the_most_probable_of_what_is_open():
    logits = table(0)
    logits[..., END] = -1e9
    found = searching(3, 1.0, 4)(logits)
    assert rows_of(found.tokens) == [plain_beam(row, 3, 1.0) for row in logits]
    assert np.isfinite(found.score).all()


def test_padding_and_the_unknown_token_are_never_written():
    logits = jnp.zeros((3, V)).at[:, :END].set(50.0)
    kept = log_probabilities(logits)
    assert np.isneginf(kept[:, :END]).all()
    np.testing.assert_allclose(np.exp(kept).sum(-1), 1, rtol=1e-6)

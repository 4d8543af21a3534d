"""Writing a sequence token by token: greedily, or by beam search; both are one compiled loop.

A step is ``step(carry, tokens [B]) -> (carry, logits [B, V], weights [B, S])``: of any model, its variables and what it
reads are the step's own. Weights are those of an attention, for whoever draws them; a model without one gives
``[B, 0]``.

A sequence begins after :data:`rnnjax.data.tokens.PADDING`, which is read as the first token and never written, and ends
with :data:`rnnjax.data.tokens.END`.

Axes: B rows, K hypotheses of a row, V tokens of the vocabulary, L tokens of an output, S steps of a source.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rnnjax.data.tokens import END, PADDING, UNKNOWN

Array = jax.Array
Step = Callable[[Any, Array], tuple[Any, Array, Array]]

NEVER = (PADDING, UNKNOWN)
"""Tokens that are not written."""


class Decoded(NamedTuple):
    """What was written.

    Attributes:
      tokens: ``[B, L]``, END the last of a sequence, PADDING behind it; without END where L tokens did not suffice.
      score: ``[B]``, the log probability over the length penalty; of the greedy search the log probability.
      weights: ``[B, L, S]``, the attention at each token.
    """

    tokens: Array
    score: Array
    weights: Array


def length_penalty(length: Any, alpha: float) -> Any:
    """What the log probability of so many tokens is divided by (Wu et al. 2016, arXiv:1609.08144, equation 14).

    With ``alpha`` 0 it is 1, and short sequences are preferred; more prefers longer ones.
    """
    return ((5.0 + length) / 6.0) ** alpha


def log_probabilities(logits: Array) -> Array:
    """Log probabilities ``[..., V]`` of logits, float32, and -inf of what is never written."""
    kept = jnp.full(logits.shape[-1], 0.0).at[jnp.array(NEVER)].set(-jnp.inf)
    return jax.nn.log_softmax(logits.astype(jnp.float32) + kept, axis=-1)


def greedy(step: Step, carry: Any, rows: int, limit: int) -> Decoded:
    """The most probable token at each step, until all rows have ended or have ``limit`` tokens.

    Args:
      step: see the module.
      carry: before the first token, leaves ``[B, ...]``.
      rows: B.
      limit: L, of which END is one.
    """
    tokens, weights = jnp.full((rows, limit), PADDING, jnp.int32), _no_weights(step, carry, rows, limit)
    last, open_ = jnp.full(rows, PADDING, jnp.int32), jnp.ones(rows, bool)

    def go_on(state: Any) -> Array:
        place, open_ = state[0], state[3]
        return (place < limit) & open_.any()

    def one(state: Any) -> Any:
        place, carry, last, open_, score, tokens, weights = state
        carry, logits, looked = step(carry, last)
        found = log_probabilities(logits)
        token = jnp.where(open_, found.argmax(-1).astype(jnp.int32), PADDING)
        score += jnp.where(open_, jnp.take_along_axis(found, token[:, None], -1)[:, 0], 0)
        looked = jnp.where(open_[:, None], looked, 0).astype(weights.dtype)
        tokens = lax.dynamic_update_slice_in_dim(tokens, token[:, None], place, 1)
        weights = lax.dynamic_update_slice_in_dim(weights, looked[:, None], place, 1)
        return place + 1, carry, token, open_ & (token != END), score, tokens, weights

    zero = jnp.zeros(rows, jnp.float32)
    ended = lax.while_loop(go_on, one, (jnp.int32(0), carry, last, open_, zero, tokens, weights))
    return Decoded(tokens=ended[5], score=ended[4], weights=ended[6])


class _Beam(NamedTuple):
    """The state of a beam search: open hypotheses, and of each row the best one that has ended."""

    place: Array
    carry: Any
    last: Array
    score: Array
    tokens: Array
    weights: Array
    best: Decoded


def beam_search(step: Step, carry: Any, rows: int, limit: int, beam: int, alpha: float) -> Decoded:
    """The best of the hypotheses that a beam finds, by log probability over :func:`length_penalty`.

    Of the K * V continuations of a row the K most probable are kept; one that ends leaves the beam, and its place stays
    empty. A row is done when no open hypothesis can win any more: log probabilities only fall, so that the best that
    can become of one is its own over the penalty of L tokens. A row without an ended hypothesis answers with its most
    probable open one. A beam of 1 is :func:`greedy`.

    Args:
      step: of ``B * K`` rows, the hypotheses of a row one after the other.
      carry: before the first token, leaves ``[B * K, ...]``.
      rows, limit: B and L.
      beam: K.
      alpha: of the length penalty, 0 or more.
    """
    weights = _no_weights(step, carry, rows * beam, limit)
    tokens = jnp.full((rows, beam, limit), PADDING, jnp.int32)
    score = jnp.full((rows, beam), -jnp.inf).at[:, 0].set(0.0)  # the hypotheses of a row begin alike
    nothing = Decoded(tokens[:, 0], jnp.full(rows, -jnp.inf), weights[::beam])
    last = jnp.full(rows * beam, PADDING, jnp.int32)
    begun = _Beam(jnp.int32(0), carry, last, score, tokens, weights.reshape(rows, beam, *weights.shape[1:]), nothing)

    def go_on(state: _Beam) -> Array:
        return (state.place < limit) & jnp.isfinite(state.score).any()

    def one(state: _Beam) -> _Beam:
        return _extended(step, state, limit, alpha)

    ended: _Beam = lax.while_loop(go_on, one, begun)
    open_ = ended.score[:, 0] / length_penalty(limit, alpha)  # the most probable one comes first
    unfinished = jnp.isneginf(ended.best.score)
    return _chosen(unfinished, Decoded(ended.tokens[:, 0], open_, ended.weights[:, 0]), ended.best)


def _extended(step: Step, state: _Beam, limit: int, alpha: float) -> _Beam:
    """The hypotheses with one token more."""
    rows, beam = state.score.shape
    carry, logits, looked = step(state.carry, state.last)
    score, parent, token = _continued(state.score, log_probabilities(logits))
    origin = (parent + beam * jnp.arange(rows)[:, None]).reshape(-1)

    def inherited(leaf: Array) -> Array:
        return leaf.reshape(rows * beam, *leaf.shape[2:])[origin].reshape(leaf.shape)

    tokens = lax.dynamic_update_slice_in_dim(inherited(state.tokens), token[..., None], state.place, 2)
    looked = looked.astype(jnp.float32).reshape(rows, beam, 1, -1)
    weights = inherited(lax.dynamic_update_slice_in_dim(state.weights, looked, state.place, 2))
    ended = token == END
    final = jnp.where(ended, score, -jnp.inf) / length_penalty(state.place + 1, alpha)
    winner = final.argmax(-1)
    found = Decoded(*(leaf[jnp.arange(rows), winner] for leaf in (tokens, final, weights)))
    best = _chosen(found.score > state.best.score, found, state.best)
    score = jnp.where(ended, -jnp.inf, score)
    can_win = (score / length_penalty(limit, alpha)).max(-1) > best.score
    score = jnp.where(can_win[:, None], score, -jnp.inf)
    carry = jax.tree.map(lambda leaf: leaf[origin], carry)
    return _Beam(state.place + 1, carry, token.reshape(-1), score, tokens, weights, best)


def _continued(score: Array, following: Array) -> tuple[Array, Array, Array]:
    """The K most probable continuations of each row: those that end behind the others, each kind by its score.

    Args:
      score: ``[B, K]`` of the hypotheses.
      following: ``[B * K, V]`` log probabilities of the tokens after each.

    Returns:
      Their scores, the hypothesis that each continues, and its token, ``[B, K]`` each.
    """
    (rows, beam), size = score.shape, following.shape[-1]
    every = score[..., None] + following.reshape(rows, beam, size)
    score, flat = lax.top_k(every.reshape(rows, -1), beam)
    parent, token = flat // size, (flat % size).astype(jnp.int32)
    order = jnp.argsort(token == END, axis=-1, stable=True)  # the most probable open one is the first
    first, second, third = (jnp.take_along_axis(part, order, -1) for part in (score, parent, token))
    return first, second, third


def _chosen(which: Array, ours: Decoded, theirs: Decoded) -> Decoded:
    """Of each row one of two, ``ours`` where ``which [B]`` says so."""

    def either(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(either, ours, theirs)


def _no_weights(step: Step, carry: Any, rows: int, limit: int) -> Array:
    like = jax.eval_shape(step, carry, jnp.zeros(rows, jnp.int32))[2]
    return jnp.zeros((rows, limit, like.shape[-1]), jnp.float32)

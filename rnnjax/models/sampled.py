"""Logits of a sample of a vocabulary, from which a training loss is made that would need all of them.

Half of the sample are the most frequent tokens, which need not be drawn; the others are drawn from the rest with
frequencies by Zipf's law, and each stands for as many as its chance was small. So the sum over a vocabulary in a
softmax is met in the mean (importance sampling, Bengio and Senecal 2008; Jean et al. 2015, arXiv:1412.2007).

Axes: B rows, T steps (U as a second one, of a row's targets), D features, V tokens of the vocabulary, S tokens of the
sample.
"""

import jax
import jax.numpy as jnp

from rnnjax.data.tokens import UNKNOWN
from rnnjax.errors import UsageError

Array = jax.Array

_HIT = -1e9
"""In place of the logit of a sampled token that is the target itself, which has been counted."""


def sample(key: Array, vocabulary_size: int, count: int) -> tuple[Array, Array]:
    """Tokens to stand for a vocabulary whose ids are in the order of frequency, padding's before them all.

    Args:
      key: of the draw.
      vocabulary_size: V.
      count: S, at least 2 and fewer than the tokens.

    Returns:
      ``ids [S]`` and ``[S]``, the logarithm of how many tokens each stands for.

    Raises:
      UsageError: at another count.
    """
    tokens = vocabulary_size - UNKNOWN  # all but padding
    if not 2 <= count < tokens:
        raise UsageError(
            f"--optim.sampled-tokens must be from 2 to {tokens - 1} of a vocabulary of {vocabulary_size:,}, got {count}"
        )
    first = count // 2
    drawn = count - first
    # With a density of 1 / (rank log(last / first)), a rank's chance is log((rank + 1) / rank) / log(last / first).
    begin, span = float(first + 1), jnp.log((tokens + 1) / (first + 1))
    ranks = jnp.floor(begin * jnp.exp(span * jax.random.uniform(key, (drawn,))))
    ranks = jnp.clip(ranks, begin, tokens)
    chance = jnp.log1p(1 / ranks) / span
    ids = jnp.concatenate([jnp.arange(first), ranks.astype(jnp.int32) - 1]) + UNKNOWN
    return ids, jnp.concatenate([jnp.zeros(first), -jnp.log(drawn * chance)])


def sampled_logits(key: Array, outputs: Array, table: Array, bias: Array, targets: Array, count: int) -> Array:
    """The targets' logits, and those of a sample of all others.

    Args:
      key: of the draw, one for all rows and steps.
      outputs: ``[B, T, D]``, what logits are made of.
      table, bias: ``[V, D]`` and ``[V]``: a token's logit is the product with its row, and its bias.
      targets: ``[B, T]`` ids.
      count: S.

    Returns:
      ``[B, T, 1 + S]``, the target's first. The cross-entropy with class 0 is an estimate of that with the target among
      all tokens; what it is in the mean over draws is not above it.
    """
    table, bias = jnp.asarray(table), jnp.asarray(bias)  # NumPy's would not be indexed by what is traced
    ids, stands_for = sample(key, table.shape[0], count)
    own = (outputs * table[targets]).sum(-1) + bias[targets]
    others = outputs @ table[ids].T + (bias[ids] + stands_for)
    others = jnp.where(ids == targets[..., None], _HIT, others)
    return jnp.concatenate([own[..., None], others], -1)


def sampled_losses(key: Array, outputs: Array, table: Array, bias: Array, targets: Array, count: int) -> Array:
    """The estimated cross-entropies ``[B, T]`` of the targets, in nats; arguments as of :func:`sampled_logits`."""
    logits = sampled_logits(key, outputs, table, bias, targets, count)
    return jax.nn.logsumexp(logits, -1) - logits[..., 0]


def region_losses(
    key: Array, outputs: Array, table: Array, bias: Array, targets: Array, regions: Array, count: int
) -> Array:
    """The estimated cross-entropies of several targets at each step, in nats: in the mean over them, ``[B, T]``.

    Each is what :func:`sampled_losses` would give of it with the same draw, but that all targets of a step share the
    sum over the sample: a target which was drawn is subtracted from it as often as it counts there.

    Args:
      key, outputs, table, bias, targets, count: as of :func:`sampled_logits`.
      regions: ``[B, T, U]`` booleans, U as many as T: which of its row's targets a step predicts; of none, it is 0.
    """
    table, bias = jnp.asarray(table), jnp.asarray(bias)
    ids, stands_for = sample(key, table.shape[0], count)
    total = jax.nn.logsumexp(outputs @ table[ids].T + (bias[ids] + stands_for), -1)[..., None]
    own = jnp.einsum("btd,bud->btu", outputs, table[targets]) + bias[targets][:, None]
    own = jnp.where(regions, own, total)  # others may be so large that the gradient of their exponential is NaN
    drawn = jnp.zeros(table.shape[0], total.dtype).at[ids].add(jnp.exp(stands_for))[targets][:, None]
    most = jax.lax.stop_gradient(jnp.maximum(total, own))
    others = jnp.maximum(jnp.exp(total - most) - drawn * jnp.exp(own - most), 0)  # not below 0 but by rounding
    losses = most + jnp.log(others + jnp.exp(own - most)) - own
    return jnp.where(regions, losses, 0).sum(-1) / jnp.maximum(regions.sum(-1), 1)

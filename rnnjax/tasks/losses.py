"""Cross-entropies from logits, one value a row; masks and means belong to the caller.

Logits in half precision are taken to float32 first: a sum over classes rounds and overflows in it.

Axes: B batch, C classes.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import single_or_wider

Array = jax.Array
Loss = Callable[[Array, Array, float], Array]


def sparse_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of integer labels.

    Args:
      logits: ``[B, C]``, not normalised.
      labels: ``[B]`` integers in 0..C-1.
      smoothing: mass spread evenly over all classes (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
      ``[B]`` in nats, float32 or wider.

    Raises:
      UsageError: if the shapes are others.
    """
    check_shapes(logits, labels)
    logits = logits.astype(single_or_wider(logits.dtype))
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def per_step_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of an integer label a step.

    Args:
      logits: ``[B, T, C]``, not normalised.
      labels: ``[B, T]`` integers in 0..C-1; below 0 where a step has none.
      smoothing: as for :func:`sparse_cross_entropy`.

    Returns:
      ``[B, T]`` in nats, float32 or wider; zero where there is no label, whatever the logits there, NaN included.

    Raises:
      UsageError: if the shapes are others.
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise UsageError(
            f"logits must be [B, T, C] and labels [B, T], got {list(logits.shape)} and {list(labels.shape)}"
        )
    # NaN where there is no label would reach the gradient of a zero.
    logits = jnp.where(labels[..., None] >= 0, logits, 0)
    normalised = jax.nn.log_softmax(logits.astype(single_or_wider(logits.dtype)))
    # Without a one-hot vector a step, which is as large as the logits.
    loss = -jnp.take_along_axis(normalised, jnp.maximum(labels, 0)[..., None], -1)[..., 0]
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * normalised.mean(-1)
    return jnp.where(labels >= 0, loss, 0)


def binary_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of labels 0 and 1 with a single logit, ``[B, 1]`` and ``[B]`` to ``[B]`` in nats.

    Raises:
      UsageError: if the shapes are others.
    """
    check_shapes(logits, labels)
    if logits.shape[-1] != 1:
        raise UsageError(f"the binary cross-entropy needs one logit a row, got logits {list(logits.shape)}")
    logits = logits.astype(single_or_wider(logits.dtype))
    targets = labels.astype(logits.dtype) * (1 - smoothing) + smoothing / 2
    return optax.sigmoid_binary_cross_entropy(jnp.squeeze(logits, -1), targets)


def binary_of_each(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of each of L labels, 0 and 1, with a logit of its own: both ``[B, L]``, to ``[B, L]`` in nats.

    Raises:
      UsageError: if the shapes are others.
    """
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise UsageError(f"logits {list(logits.shape)} and labels {list(labels.shape)} must be [B, L] alike")
    logits = logits.astype(single_or_wider(logits.dtype))
    targets = labels.astype(logits.dtype) * (1 - smoothing) + smoothing / 2
    return optax.sigmoid_binary_cross_entropy(logits, targets)


def divergence(logits: Array, others: Array) -> Array:
    """Kullback-Leibler divergence from the classes' probabilities by logits to those by others.

    Args:
      logits, others: ``[B, C]``; a single logit means class 1 of two.

    Returns:
      ``[B]`` in nats, float32 or wider, 0 or more.
    """
    ours, theirs = (jax.nn.log_softmax(_of_two(each).astype(single_or_wider(each.dtype))) for each in (logits, others))
    return (jnp.exp(ours) * (ours - theirs)).sum(-1)


def _of_two(logits: Array) -> Array:
    return jnp.concatenate([jnp.zeros_like(logits), logits], -1) if logits.shape[-1] == 1 else logits


def weighed(losses: Array, labels: Array, class_weights: Sequence[float]) -> Array:
    """Losses ``[B]``, each times the factor of its label ``[B]``; of weights ``[C]`` whose mean over examples is 1."""
    return losses * jnp.asarray(class_weights, losses.dtype)[labels]


def for_outputs(outputs: int) -> Loss:
    """The loss for a model with this many logits: binary for one, sparse for more."""
    return binary_cross_entropy if outputs == 1 else sparse_cross_entropy


def check_shapes(logits: Array, labels: Array) -> None:
    """Raises UsageError unless logits are ``[B, C]`` and labels ``[B]``: others would broadcast to a wrong number."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise UsageError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} do not fit; they must be [B, C] and [B]"
        )

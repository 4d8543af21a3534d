"""Cross-entropies from logits, one value a row; masks and means belong to the caller.

Axes: B batch, C classes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Loss = Callable[[Array, Array, float], Array]


def sparse_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of integer labels.

    Args:
      logits: ``[B, C]``, not normalised.
      labels: ``[B]`` integers in 0..C-1.
      smoothing: mass spread evenly over all classes (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
      ``[B]`` in nats.
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def binary_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Cross-entropy of labels 0 and 1 with a single logit, ``[B, 1]`` and ``[B]`` to ``[B]`` in nats."""
    targets = labels.astype(logits.dtype) * (1 - smoothing) + smoothing / 2
    return optax.sigmoid_binary_cross_entropy(jnp.squeeze(logits, -1), targets)


def for_outputs(outputs: int) -> Loss:
    """The loss for a model with this many logits: binary for one, sparse for more."""
    return binary_cross_entropy if outputs == 1 else sparse_cross_entropy

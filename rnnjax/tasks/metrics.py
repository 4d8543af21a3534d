"""Masked sums, which add up over batches, devices and hosts, and the scalars made of them at the end.

Axes: B batch, C classes (1 for a single logit that means class 1 of two).
"""

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import single_or_wider
from rnnjax.tasks.losses import check_shapes

Array = jax.Array


def sums(logits: Array, labels: Array, losses: Array, mask: Array, weights: Array | None = None) -> dict[str, Array]:
    """Sums over the real rows of a batch.

    Args:
      logits: ``[B, C]``, not normalised.
      labels: ``[B]`` integers.
      losses: ``[B]``, one a row.
      mask: ``[B]`` booleans, False at padding rows.
      weights: ``[B]``, how much each row counts; None: all alike.

    Returns:
      Scalars ``loss`` (summed in float32 or wider), ``correct`` and ``weight``.

    Raises:
      UsageError: if the shapes are others.
    """
    check_shapes(logits, labels)
    for name, array in (("losses", losses), ("mask", mask), ("weights", weights)):
        if array is not None and array.shape != labels.shape:
            raise UsageError(f"{name} {list(array.shape)} must be [{len(labels)}]: one an example")
    losses = losses.astype(single_or_wider(losses.dtype))
    correct = predicted_class(logits) == labels
    if weights is not None:
        weights = jnp.where(mask, weights.astype(losses.dtype), 0)
        return {
            "loss": (weights * jnp.where(mask, losses, 0)).sum(),
            "correct": (weights * correct).sum(),
            "weight": weights.sum(),
        }
    return {
        "loss": jnp.where(mask, losses, 0).sum(),
        "correct": jnp.where(mask, correct, False).sum(),
        "weight": mask.sum(),
    }


def by_class(logits: Array, labels: Array, mask: Array, weights: Array | None = None) -> dict[str, Array]:
    """Sums ``[classes]`` over the real rows: ``hits`` (right), ``predicted`` and ``gold``; see :func:`sums`."""
    classes, predicted = jnp.arange(max(logits.shape[-1], 2)), predicted_class(logits)
    counted = mask.astype(jnp.float32) if weights is None else jnp.where(mask, weights.astype(jnp.float32), 0)
    answered, true = predicted[:, None] == classes, labels[:, None] == classes
    parts = {"hits": answered & true, "predicted": answered, "gold": true}
    return {name: (counted[:, None] * part).sum(0) for name, part in parts.items()}


def predicted_class(logits: Array) -> Array:
    """The most probable class of each row: ``[B, C] -> [B]``; for one logit, whether it is positive."""
    if logits.shape[-1] == 1:
        return (logits[..., 0] > 0).astype(jnp.int32)
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


def class_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities ``[B, max(C, 2)]`` of logits ``[B, C]``."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)

"""What tasks of tokens have in common: logits ``[B, T, V]`` beside ``targets [B, T]``, of which those below 0 count in
nothing.
"""

import math
from collections.abc import Mapping
from typing import Any

from rnnjax.errors import UsageError
from rnnjax.tasks.base import Batch, mean


def targets_of(batch: Batch, what: str) -> Any:
    """A batch's ``targets``; raises UsageError where it has none, which says ``what`` they are."""
    if "targets" not in batch:
        raise UsageError(f"the examples have no targets, {what}, but {', '.join(sorted(batch))}")
    return batch["targets"]


def sums(logits: Any, targets: Any, smoothing: float = 0.0) -> dict[str, Any]:
    """``loss`` in nats, ``correct`` and ``weight``, the number of tokens, over all targets that count."""
    import jax.numpy as jnp

    from rnnjax.tasks import losses

    loss = losses.per_step_cross_entropy(logits, targets, smoothing)
    return {
        "loss": loss.sum(),
        "correct": (logits.argmax(-1) == targets).sum(dtype=jnp.int32),
        "weight": (targets >= 0).sum(dtype=jnp.int32),
    }


def figures(totals: Mapping[str, Any]) -> dict[str, float]:
    """``loss``, in nats a token, and its exponential, the ``perplexity``."""
    loss = mean(totals["loss"], totals["weight"])
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}  # e^710 is infinite


def check(outputs: Any, targets: Any) -> None:
    """Logits must be ``[B, T, V]``, targets ``[B, T]``: others would broadcast to a wrong number.

    Raises:
      UsageError: where they are not.
    """
    if not hasattr(outputs, "shape") or len(outputs.shape) != 3 or outputs.shape[:2] != targets.shape:
        got = list(outputs.shape) if hasattr(outputs, "shape") else type(outputs).__name__
        raise UsageError(f"logits must be [B, T, V] for targets {list(targets.shape)} [B, T], got {got}")

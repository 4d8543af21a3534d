"""Optimizers and learning-rate schedules, put together from optax."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from rnnjax.config import OptimConfig


def make_schedule(config: OptimConfig, total_steps: int) -> Callable[[Any], Any]:
    """The learning rate as a function of the step, 0-based, over ``total_steps`` steps."""
    peak = config.learning_rate
    if config.schedule == "one-cycle":
        return optax.cosine_onecycle_schedule(max(total_steps, 2), peak)
    warmup = int(config.warmup_fraction * total_steps)
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(total_steps - warmup, 1))
    else:
        after = optax.constant_schedule(peak)
    if not warmup:
        return after
    # The first step already moves: a learning rate of 0 would waste it.
    rise = optax.linear_schedule(peak / warmup, peak, warmup - 1 or 1)
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: OptimConfig, total_steps: int) -> optax.GradientTransformation:
    """Clipping by global norm, then the optimizer under its schedule."""
    schedule = make_schedule(config, total_steps)
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.weight_decay and config.optimizer != "adamw":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=decayed))
    if config.optimizer == "sgd":
        parts.append(optax.sgd(schedule, momentum=config.momentum or None, nesterov=bool(config.momentum)))
    elif config.optimizer == "adam":
        parts.append(optax.adam(schedule))
    else:
        parts.append(optax.adamw(schedule, weight_decay=config.weight_decay, mask=decayed))
    return optax.chain(*parts)


def reduce_on_plateau(config: OptimConfig, scale: float, stale_epochs: int) -> tuple[float, int]:
    """What the plateau schedule does after an epoch; the other schedules do nothing.

    Args:
      config: of the schedule.
      scale: what the learning rate was multiplied with in that epoch.
      stale_epochs: epochs since validation was best, or since the last reduction if that is less.

    Returns:
      Both for the next epoch.
    """
    if config.schedule != "plateau" or stale_epochs < config.plateau_patience:
        return scale, stale_epochs
    return max(scale * config.plateau_factor, config.plateau_least), 0


def decayed(params: Any) -> Any:
    """Which parameters weight decay applies to: those with two axes or more, so no biases and no norms."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

"""Optimizers and learning-rate schedules, put together from optax."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rnnjax.config import OptimConfig
from rnnjax.config.groups import Group, in_epoch, stages
from rnnjax.errors import UsageError
from rnnjax.layers.cells.initializers import single_or_wider


class Optimizer:
    """The optimizer of an experiment, for a training of so many steps.

    Args:
      optim: a section of the configuration, an optax transformation, or anything with ``build(steps)``.
      steps: of the training.

    Attributes:
      section: ``optim`` where it is a section, else one that says of what an optax transformation does not know, such
        as averages of the parameters, that there is none.
      transform: the optax transformation, as it is in the first epoch.
      stages: the epochs, counted from 1, from which on it is another since groups are unfrozen; its state is of one
        structure in all.
    """

    def __init__(self, optim: Any, steps: int):
        self.section = optim if isinstance(optim, OptimConfig) else OptimConfig()
        made = optim.build(steps) if hasattr(optim, "build") else optim
        if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
            raise UsageError(f"{type(optim).__name__}.build(steps) must give an optax transformation, got {made!r:.80}")
        self.transform: Any = made
        self.stages = stages(self.section.groups)
        self._made = {1: made, **{stage: _later(optim, steps, stage) for stage in self.stages[1:]}}
        rates = getattr(optim, "learning_rates", None)
        # One program instead of one an operation.
        self._rate = None if rates is None else jax.jit(rates(steps))

    def stage(self, epoch: int) -> int:
        """The stage that an epoch is in, counted from 1."""
        return max(stage for stage in self.stages if stage <= epoch)

    def in_stage(self, stage: int) -> tuple[tuple[str, ...], Any]:
        """The groups, and the optax transformation, of a stage."""
        return in_epoch(self.section.groups, stage), self._made[stage]

    def learning_rate(self, step: int) -> float | None:
        """That of a step, 0-based; None where only the transformation knows it."""
        return None if self._rate is None else float(self._rate(step))


def _later(optim: OptimConfig, steps: int, stage: int) -> Any:
    if type(optim).build is not OptimConfig.build:
        raise UsageError(
            f"--optim.groups: {type(optim).__name__} has its own build(steps), which "
            f"unfreezes nothing in epoch {stage}; leave out the @"
        )
    return optim.build(steps, stage)


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


def make_optimizer(config: OptimConfig, total_steps: int, epoch: int = 1) -> optax.GradientTransformation:
    """Clipping by global norm, then the optimizer under its schedule, then the factors of the groups.

    What is frozen counts in no norm, does not decay, and gathers no momentum.

    Args:
      config: the section.
      total_steps: of the training.
      epoch: counted from 1; it decides what is frozen, and the state is of one structure in all epochs.
    """
    schedule, groups = make_schedule(config, total_steps), in_epoch(config.groups, epoch)
    parts = [_freeze(groups)] if groups else []
    parts += [_clip(config.clip_norm)] if config.clip_norm else []

    def mask(params: Any) -> Any:
        return jax.tree.map(lambda decays, factor: decays and factor > 0, decayed(params), factors(groups, params))

    if config.weight_decay and config.optimizer != "adamw":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=mask))
    if config.optimizer == "sgd":
        parts.append(optax.sgd(schedule, momentum=config.momentum or None, nesterov=bool(config.momentum)))
    elif len(stages(config.groups)) > 1:
        parts.append(_adam_by_stage(config.groups, epoch))
        parts += [optax.add_decayed_weights(config.weight_decay, mask=mask)] if config.optimizer == "adamw" else []
        parts.append(optax.scale_by_learning_rate(schedule))
    elif config.optimizer == "adam":
        parts.append(optax.adam(schedule))
    else:
        parts.append(optax.adamw(schedule, weight_decay=config.weight_decay, mask=mask))
    if groups:
        parts.append(optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors(groups, updates))))
    return optax.chain(*parts)


def _adam_by_stage(groups: Sequence[str], epoch: int) -> optax.GradientTransformation:
    """Adam's moments, each parameter's steps counted from the epoch that unfreezes it, as PyTorch counts them.

    Counted from the first epoch, the moments of a parameter that is unfrozen later would be taken for unbiased, and its
    first updates be about three times as large as those of a training that begins.
    """
    adam = optax.scale_by_adam()
    waiting = optax.GradientTransformation(adam.init, lambda updates, state, params=None: (updates, state))

    def labels(params: Any) -> Any:
        return _by_path(params, lambda path: f"epoch_{next((g.epoch for g in read if re.search(g.pattern, path)), 1)}")

    read = [Group.of(group) for group in groups]
    made: dict[Any, Any] = {f"epoch_{stage}": adam if stage <= epoch else waiting for stage in stages(groups)}
    return optax.partition(made, labels)


def factors(groups: Sequence[str], params: Any) -> Any:
    """What each parameter's learning rate is multiplied with: floats in the structure of ``params``.

    Args:
      groups: ``PATTERN=FACTOR`` each; a parameter takes the factor of the first whose pattern is found in its
        path (names joined by ``/``), and 1 if there is none.
      params: a tree; only its structure matters.
    """
    read = [Group.of(group) for group in groups]
    return _by_path(params, lambda path: next((g.factor for g in read if re.search(g.pattern, path)), 1.0))


def _by_path(tree: Any, of: Callable[[str], Any]) -> Any:
    """What a function says of each leaf's path, in the structure of the tree."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: of(_path(path)), tree)


def members(groups: Sequence[str], params: Any) -> list[tuple[Group, list[str]]]:
    """Each group with the paths of the parameters that are its own: those in which no earlier pattern is found."""
    left = [_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    found = []
    for group in map(Group.of, groups):
        own = [path for path in left if re.search(group.pattern, path)]
        left = [path for path in left if path not in own]
        found.append((group, own))
    return found


def check_groups(groups: Sequence[str], params: Any) -> None:
    """Raises UsageError if a pattern is found in no parameter's path, or if all parameters are frozen in some epoch."""
    paths = [_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    listed = "".join(f"\n  {path}" for path in paths)
    for group in groups:
        pattern = Group.of(group).pattern
        if not any(re.search(pattern, path) for path in paths):
            raise UsageError(f"--optim.groups: {pattern!r} is found in no parameter's path; these are:{listed}")
    for stage in stages(groups):
        if not any(jax.tree.leaves(factors(in_epoch(groups, stage), params))):
            when = f" in epoch {stage}" if len(stages(groups)) > 1 else ""
            raise UsageError(f"--optim.groups: nothing is left to train{when}; the parameters are:{listed}")


def _freeze(groups: Sequence[str]) -> optax.GradientTransformation:
    def update(gradients: Any, params: Any) -> Any:
        del params
        return jax.tree.map(
            lambda gradient, factor: gradient if factor else jnp.zeros_like(gradient),
            gradients,
            factors(groups, gradients),
        )

    return optax.stateless(update)


def global_norm(tree: Any) -> jax.Array:
    """The Euclidean norm of all leaves together, in float32 or wider: squares in float16 overflow from 256 on."""
    return optax.tree.norm(jax.tree.map(lambda leaf: leaf.astype(single_or_wider(leaf.dtype)), tree))


def _clip(most: float) -> optax.GradientTransformation:
    """``optax.clip_by_global_norm``, with the norm in float32 or wider."""

    def update(gradients: Any, params: Any) -> Any:
        del params
        norm = global_norm(gradients)

        def clipped(gradient: jax.Array) -> jax.Array:
            wide = gradient.astype(single_or_wider(gradient.dtype))
            return jnp.where(norm < most, wide, wide / norm * most).astype(gradient.dtype)

        return jax.tree.map(clipped, gradients)

    return optax.stateless(update)


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


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

"""Training a run longer than it was begun: where its length is no part of what was trained, and why it is elsewhere."""

from typing import Any

from rnnjax.config import Config, OptimConfig
from rnnjax.config.run import is_section

_ENDLESS = ("constant", "plateau")
"""Schedules that do not know how many steps there will be."""


def obstacle(optim: Any) -> str | None:
    """What of a training depends on its number of epochs, in words; None if nothing does.

    Args:
      optim: a section of the configuration, or what was handed over in its place.
    """
    if not is_section(optim):
        return "its optimizer is built for a number of steps" if hasattr(optim, "build") else None
    if not isinstance(optim, OptimConfig) or type(optim).build is not OptimConfig.build:
        return "its optimizer is built for a number of steps"
    if optim.schedule not in _ENDLESS:
        return f"the {optim.schedule} schedule spans all epochs (constant and plateau do not)"
    if optim.warmup_fraction:
        return "the warm-up is a share of all steps (--optim.warmup-fraction)"
    if optim.adversarial:
        return "the moves of adversarial training grow over all steps (--optim.adversarial)"
    return None


def is_longer(ours: Config, theirs: Config) -> bool:
    """Whether it has more epochs."""
    return ours.train.epochs > theirs.train.epochs


def refusal(ours: Config, theirs: Config) -> str | None:
    """Why a run cannot be trained as much longer as that, as a line; None if it can, or is not to be."""
    reason = obstacle(ours.optim) if is_longer(ours, theirs) else None
    if reason is None:
        return None
    return (
        f"train.epochs: {ours.train.epochs}, not {theirs.train.epochs}; the length is part of what was trained here, "
        f"since {reason}"
    )

"""What a group of parameters is called in ``--optim.groups``: a pattern, a factor, and the epoch that unfreezes it.

Unfreezing one part after the other is of Howard and Ruder 2018 (arXiv:1801.06146, section 3.3).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self

from rnnjax.errors import UsageError


class Group(NamedTuple):
    """``PATTERN=FACTOR`` or ``PATTERN=FACTOR@EPOCH``.

    Attributes:
      pattern: regular expression that is searched in a parameter's path.
      factor: what the learning rate is multiplied with; 0 freezes.
      epoch: the first in which it learns, counted from 1; before, it is frozen.
    """

    pattern: str
    factor: float
    epoch: int = 1

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads a group; raises ValueError or re.error at what is none."""
        pattern, _, rest = text.rpartition("=")
        factor, at, epoch = rest.partition("@")
        re.compile(pattern)
        number = int(epoch) if at else 1
        sensible = number >= 1 and epoch.isdecimal() and float(factor) > 0 if at else True
        if not (pattern and 0 <= float(factor) < float("inf") and sensible):
            raise ValueError(text)
        return cls(pattern, float(factor), number)


def stages(groups: Sequence[str]) -> tuple[int, ...]:
    """The epochs from which on other groups are frozen than before, counted from 1 and rising; the first is 1."""
    return tuple(sorted({1, *(Group.of(group).epoch for group in groups)}))


def in_epoch(groups: Sequence[str], epoch: int) -> tuple[str, ...]:
    """The groups of an epoch, counted from 1, as ``PATTERN=FACTOR`` each; the factor is 0 while one is frozen."""
    read = [(group, Group.of(group)) for group in groups]
    return tuple(f"{of.pattern}=0" if epoch < of.epoch else _without_epoch(group) for group, of in read)


def check_epochs(groups: Sequence[str], epochs: int) -> None:
    """Raises UsageError if a group is unfrozen after the last of so many epochs."""
    for group in groups:
        pattern, _, epoch = Group.of(group)
        if epoch > epochs:
            raise UsageError(
                f"--optim.groups: {group!r} is unfrozen in epoch {epoch}, and there are {epochs}; "
                f"give an earlier epoch, more --train.epochs, or {pattern}=0"
            )


def _without_epoch(group: str) -> str:
    pattern, _, rest = group.rpartition("=")
    return f"{pattern}={rest.partition('@')[0]}"

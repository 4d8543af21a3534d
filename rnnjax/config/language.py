"""What is asked of a trained language model on the command line: how to sample."""

import math
from dataclasses import dataclass

from rnnjax.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a language model goes on with a text: logits over the temperature, of those the top k, of those the nucleus.

    Raises:
      UsageError: at a value that is none.
    """

    length: int = 400
    """Tokens to go on for."""
    temperature: float = 1.0
    """What logits are divided by: less is safer; 0 takes the most probable token."""
    top_k: int = 0
    """Sample among so many most probable tokens; 0: among all."""
    top_p: float = 1.0
    """Sample among the fewest most probable tokens that have this mass together."""
    seed: int = 0
    """Of the draws."""

    def __post_init__(self):
        _check(_whole(self.length) and self.length >= 0, "length", "0 or more", self.length)
        _check(0 <= self.temperature < math.inf, "temperature", "0 or more, and finite", self.temperature)
        _check(_whole(self.top_k) and 0 <= self.top_k < 2**31, "top-k", "0 or more", self.top_k)
        _check(0 < self.top_p <= 1, "top-p", "above 0 and at most 1", self.top_p)
        _check(_whole(self.seed) and 0 <= self.seed < 2**64, "seed", "0 or more, of at most 64 bits", self.seed)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(ok: bool, name: str, wanted: str, got: object) -> None:
    if not ok:
        raise UsageError(f"--{name} must be {wanted}, got {got!r}")

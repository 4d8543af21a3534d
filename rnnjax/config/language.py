"""What is asked of a trained language model on the command line: how to sample, and how to evaluate as it adapts."""

import math
import numbers
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
        _check(
            _real(self.temperature) and 0 <= self.temperature < math.inf,
            "temperature",
            "0 or more, and finite",
            self.temperature,
        )
        _check(_whole(self.top_k) and 0 <= self.top_k < 2**31, "top-k", "0 or more", self.top_k)
        _check(_real(self.top_p) and 0 < self.top_p <= 1, "top-p", "above 0 and at most 1", self.top_p)
        _check(_whole(self.seed) and 0 <= self.seed < 2**64, "seed", "0 or more, of at most 64 bits", self.seed)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a model writes a sequence; see :mod:`rnnjax.models.decoding`.

    Raises:
      UsageError: at a value that is none.
    """

    beam: int = 1
    """Hypotheses that are kept while a sequence is written; 1: the most probable token at each step."""
    length_penalty: float = 1.0
    """Exponent of the length penalty of a beam, over which its scores are (Wu et al. 2016); more: longer sequences."""

    def __post_init__(self):
        _check(_whole(self.beam) and 0 < self.beam <= 1000, "beam", "1 to 1000", self.beam)
        good = _real(self.length_penalty) and 0 <= self.length_penalty <= 10
        _check(good, "length-penalty", "0 to 10", self.length_penalty)


@dataclass(frozen=True, kw_only=True)
class Dynamic:
    """Dynamic evaluation: after each window the parameters take a step down its gradient (Krause et al. 2018).

    Raises:
      UsageError: at a value that is none.
    """

    dynamic: tuple[float, ...] = ()
    """Learning rates of a language model that adapts to what it has read, each evaluated beside the static model."""
    dynamic_decay: float = 0.0
    """Share of the way back to the trained parameters that each step goes, with --dynamic."""
    streams: int | None = None
    """Streams that are read side by side with --dynamic, fewer to adapt more; unset: as many as without."""

    def __post_init__(self):
        good = all(0 <= rate < math.inf for rate in self.dynamic)
        _check(good, "dynamic", "learning rates of 0 or more, and finite", list(self.dynamic))
        _check(0 <= self.dynamic_decay <= 1, "dynamic-decay", "at least 0 and at most 1", self.dynamic_decay)
        _check(self.streams is None or self.streams > 0, "streams", "positive", self.streams)
        asked = self.dynamic_decay or self.streams is not None
        if asked and not self.dynamic:
            raise UsageError("--dynamic-decay and --streams are of --dynamic RATE, which is not given")


def _whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)  # NumPy's integers among them


def _real(value: object) -> bool:
    return isinstance(value, numbers.Real)


def _check(ok: bool, name: str, wanted: str, got: object) -> None:
    if not ok:
        raise UsageError(f"--{name} must be {wanted}, got {got!r}")

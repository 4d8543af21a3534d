"""Sums of two numbers as texts, ``12+345`` and ``357``: made up, so that no file is needed."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive
from rnnjax.data.pair_config import PairConfig
from rnnjax.data.token_sets import Splitter

Order = Literal["most-first", "least-first"]

LONGER = 2
"""Up to so many digits more than in training are tried beside the test."""
_LONGER_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class AdditionData(PairConfig):
    """Sums of two numbers of 1 to --data.digits digits, drawn by a seed that is no run's.

    No pair of numbers of validation or test is trained on, in either order. Beside the test there are sums of numbers
    with one and two digits more, which count in no metric.
    """

    kind: ClassVar[str] = "addition"
    name: str = option("addition", offered=False)
    """Name of the data set in results."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: the sums are made up."""
    digits: int = option(3, of_target=True)
    """Most digits of a number."""
    order: Order = option("most-first", of_target=True)
    """How an answer is written: its most significant digit first, as usual, or its least significant one."""
    training_pairs: int = 50_000
    """Sums to train on."""
    test_pairs: int = 5_000
    """Sums to test on; half as many are the validation split."""
    validation_fraction: float = option(0.1, offered=False)
    """Not used: the splits are drawn."""
    source_splitter: Splitter = option("characters", offered=False)
    """Not used: a token is a character."""
    target_splitter: Splitter = option("characters", offered=False)
    """Not used: a token is a character."""

    def splits(self) -> Any:
        """The sums as texts."""
        return sums(self)

    def load(self) -> Any:
        """The sums as ids, with room for the longer ones."""
        from rnnjax.data import pairs

        most = self.digits + LONGER
        room = dataclasses.replace(self, source_length=2 * most + 1, target_length=most + 2)
        return pairs.dataset(f"{self.name} of up to {self.digits} digits, {self.order}", room, self.splits())

    def __post_init__(self):
        super().__post_init__()
        for name in ("digits", "training_pairs", "test_pairs"):
            positive(self, name)
        choice(self, "order", Order)
        check(self.digits <= 15, self, "digits", "at most 15")
        least, there = self.training_pairs + 2 * self.test_pairs, 10 ** (2 * self.digits) // 2
        check(2 * least <= there, self, "training_pairs", f"fewer: of {there:,} pairs of numbers half may be drawn")


def sums(config: AdditionData) -> dict[str, Any]:
    """Different pairs of numbers, and beside the test longer ones, as :class:`rnnjax.data.pairs.Pairs`."""
    import numpy as np

    rng = np.random.default_rng(0)
    parts = {"train": config.training_pairs, "validation": -(-config.test_pairs // 2), "test": config.test_pairs}
    drawn: dict[tuple[int, int], None] = {}  # unordered, each once, in the order in which they come
    while len(drawn) < sum(parts.values()):
        first, second = (int(rng.integers(10 ** rng.integers(1, config.digits + 1))) for _ in range(2))
        if (second, first) not in drawn:
            drawn[first, second] = None
    # Small numbers come early, and would all be in the first split.
    pairs, found, start = list(drawn), {}, 0
    shuffled = [pairs[number] for number in rng.permutation(len(pairs))]
    for split, count in parts.items():
        found[split] = _written(shuffled[start : start + count], config)
        start += count
    test, names = found["test"], []
    test.groups = [0] * len(test)
    for more in range(1, LONGER + 1):
        digits = config.digits + more
        longer = _written(rng.integers(10 ** (digits - 1), 10**digits, (_LONGER_ROWS, 2)).tolist(), config)
        test.sources += longer.sources
        test.targets += longer.targets
        test.groups += [more] * len(longer)
        names.append(f"{config.digits + more} digits")
    test.names = tuple(names)
    return found


def _written(pairs: Any, config: AdditionData) -> Any:
    """Pairs of numbers as texts."""
    from rnnjax.data.pairs import Pairs

    made = Pairs()
    for first, second in pairs:
        made.sources.append(f"{first}+{second}")
        answer = str(first + second)
        made.targets.append(answer if config.order == "most-first" else answer[::-1])
    return made

"""The adding problem: two of many numbers are marked, and their sum is asked for when all have been read.

Hochreiter and Schmidhuber 1997, section 5.4, in the form of Arjovsky et al. 2016 (arXiv:1511.06464): one number of each
half of the steps is marked. Always answering 1 has a mean squared error of 1/6.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnjax.config.checks import check, option, positive
from rnnjax.config.data import DataConfig

_SEEDS = {"train": 0, "test": 1}


@dataclass(frozen=True, kw_only=True)
class AddingData(DataConfig):
    """Sequences of random numbers, of which two are marked, drawn by a seed that is no run's."""

    kind: ClassVar[str] = "adding"
    name: str = option("adding", offered=False)
    """Name of the data set in results."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: the sequences are drawn."""
    steps: int = option(1000, of_target=True)
    """Numbers of a sequence."""
    training_sequences: int = 20_000
    """Sequences to train on and to validate by."""
    test_sequences: int = 2_000
    """Sequences to test on."""

    def load(self) -> Any:
        """Numbers and marks ``[N, steps, 2]`` with sums ``[N, 1]``."""
        from rnnjax.data.arrays import Arrays

        x, y = drawn(self.training_sequences, self.steps, _SEEDS["train"])
        made = {"name": f"{self.name} of {self.steps:,} steps", "validation_fraction": self.validation_fraction}
        test = drawn(self.test_sequences, self.steps, _SEEDS["test"])
        return Arrays(x, y, test=test, batch_size=self.batch_size, **made).load()

    def __post_init__(self):
        super().__post_init__()
        check(self.steps >= 2, self, "steps", "2 or more: one of each half is marked")
        for name in ("training_sequences", "test_sequences"):
            positive(self, name)


def drawn(count: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers in 0..1 with their marks ``[count, steps, 2]``, and the sums ``[count, 1]`` of the marked ones."""
    rng = np.random.default_rng((seed, steps))
    numbers, marks = rng.uniform(size=(count, steps)), np.zeros((count, steps))
    half, rows = steps // 2, np.arange(count)
    marks[rows, rng.integers(half, size=count)] = 1
    marks[rows, rng.integers(half, steps, size=count)] = 1
    sums = (numbers * marks).sum(1, keepdims=True)
    return np.stack([numbers, marks], -1).astype(np.float32), sums.astype(np.float32)

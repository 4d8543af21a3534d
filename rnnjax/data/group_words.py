"""Words of a group as token ids, for what tracks a state: none of their elements may be guessed or left out."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rnnjax.data.text_preprocess import TextPreprocess
from rnnjax.data.tokens import TOKENIZERS
from rnnjax.errors import DataError


class GroupWordsPreprocess(TextPreprocess):
    """Words such as ``"0 1 1"`` as token ids with lengths: one wrong element would make every later state wrong."""

    kind: ClassVar[str] = "group_words"

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Ids ``[N, max_length]`` and ``lengths [N]`` of a list of words.

        Raises:
          DataError: at an element that the group has not, or a word of more than ``max_length`` elements.
        """
        if not isinstance(raw, str):  # which is refused below
            raw = list(raw)
            for word in raw:
                self._checked(word)
        return super().encode(raw)

    def _checked(self, word: Any) -> None:
        elements = list(TOKENIZERS[self.tokenizer](word)) if isinstance(word, str) else []
        foreign = next((element for element in elements if element not in self.class_names), None)
        if foreign is not None:
            first, last = self.class_names[0], self.class_names[-1]
            raise DataError(
                f"{foreign!r} is none of the elements {first} to {last}; a word has them with spaces between, such as "
                f"'{self.example()}'"
            )
        if len(elements) > self.max_length:
            raise DataError(
                f"a word of {len(elements):,} elements is longer than those of {self.max_length:,} that were tested"
            )

    def labelled(self, path: str | Path) -> Any:
        """Refused: the states of a word follow from it, and its split is drawn by a seed.

        Raises:
          DataError: always.
        """
        raise DataError(f"{path}: words of a group are judged on those that are drawn; leave the file out")

    def example(self) -> str:
        """A word of three elements."""
        return " ".join((self.class_names[0], *self.class_names[1:2] * 2))

"""Groups of documents that share rare names, so that a validation split is of other things than training.

Reviews come without a word of which film they are of. Where a film's reviews are on both sides of a cut, what was
learnt by heart of that film is measured as understanding, and a test split of other films shows less. Names tell the
films apart. The labels play no part:

1. A name is a capitalised word inside a sentence: a space stands before it, and before that a letter, a digit, a comma,
   a semicolon or an ampersand. Words all in capitals are none. An ``'s`` at its end is taken away. Its lower-case form
   may occur in a tenth as many documents as the name, and no more.
2. A name is rare where it occurs in 2 to 30 documents, the most reviews that IMDB's data set has of one film.
3. A pair of documents weighs the sum of 1 / (n - 1) over the rare names that both have, where n documents have the
   name: the rarer the names are, and the more of them there are, the more the pair weighs.
4. Pairs are joined, the heaviest first and equal ones in the order of the documents, unless the group would have more
   than 30 documents. That is Kruskal's rule for a spanning forest, cut by size.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from rnnjax.data.grouped import Forest
from rnnjax.errors import DataError

MOST_DOCUMENTS = 30
"""Documents that a rare name occurs in, at most."""

LARGEST = 30
"""Documents of a group, at most."""

VERSION = 1
"""Of the rule; raise it when some documents get other groups."""

_LETTERS = r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*"
_WORD = re.compile(_LETTERS)
_INSIDE = re.compile(rf"(?<=[\w,;&] )[(\"'\u201c]?({_LETTERS})")
_POSSESSIVE = re.compile(r"['\u2019]s?$")


def named_groups(documents: Sequence[str]) -> np.ndarray:
    """A number for each document, the same for those that are joined; see the module.

    Returns:
      ``[N]`` int64, numbered in the order in which groups begin.

    Raises:
      DataError: if no two documents share a rare name, as in a script without capital letters.
    """
    pairs, weights = _pairs(shared_names(documents), len(documents))
    if not len(pairs):
        raise DataError(
            f"no two of {len(documents)} documents share a rare name, so they cannot be held out by names; "
            "hold out rows, --data.validation-by rows"
        )
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -weights))
    return joined(pairs[order].tolist(), len(documents))


def names(document: str) -> set[str]:
    """The capitalised words inside the sentences of a document, rare or not."""
    found = (word for word in _INSIDE.findall(document) if word[0].isupper() and not word.isupper())
    return {_POSSESSIVE.sub("", word) for word in found}


def shared_names(documents: Iterable[str]) -> dict[str, list[int]]:
    """The rare names in the order of the alphabet, with the documents that each occurs in."""
    of_name: dict[str, list[int]] = defaultdict(list)
    lower: Counter[str] = Counter()
    for row, document in enumerate(documents):
        lower.update({word for word in _WORD.findall(document) if word.islower()})
        for name in names(document):
            of_name[name].append(row)
    rare = (
        name
        for name, rows in of_name.items()
        if 2 <= len(rows) <= MOST_DOCUMENTS and 10 * lower[name.lower()] <= len(rows)
    )
    return {name: of_name[name] for name in sorted(rare)}


def joined(pairs: Iterable[tuple[int, int]], documents: int, largest: int = LARGEST) -> np.ndarray:
    """Groups ``[N]`` by pairs that are joined one after the other, as long as no group has more than ``largest``."""
    forest = Forest(documents)
    for one, other in pairs:
        forest.join(one, other, largest)
    return forest.groups()


def _pairs(shared: Mapping[str, Sequence[int]], documents: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs ``[P, 2]`` that share rare names, rising, and what each weighs ``[P]``."""
    keys = [one * documents + other for rows in shared.values() for one, other in itertools.combinations(rows, 2)]
    counts = np.array([len(rows) for rows in shared.values()], np.int64)
    each = np.repeat(1 / np.maximum(counts - 1, 1), counts * (counts - 1) // 2)
    found, place = np.unique(np.array(keys, np.int64), return_inverse=True)
    return np.stack(np.divmod(found, documents), 1), np.bincount(place, each, len(found))

"""A linear classifier of weighed word counts, in NumPy: what ``bag_of_words`` leaves behind and predicts with."""

import functools
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.bars.ngrams import terms
from rnnjax.data.tokens import words
from rnnjax.errors import RunError, UsageError
from rnnjax.files import read_json, write_file, write_text
from rnnjax.tasks.metrics import class_probabilities

VOCABULARY, ARRAYS = "vocabulary.json", "model.npz"

_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file of arrays raises that holds anything at all."""


@dataclass(frozen=True)
class Linear:
    """A trained model, readable without scikit-learn: word counts to logits.

    With ``idf``, counts are weighed by it and of length 1; without, a term that occurs is 1.
    """

    index: dict[str, int]
    idf: np.ndarray | None
    kernel: np.ndarray  # [words, logits]
    bias: np.ndarray
    class_names: tuple[str, ...]
    max_ngram: int

    def logits(self, documents: Iterable[str]) -> np.ndarray:
        """``[documents, logits]``; a single logit means class 1 of two."""
        return np.stack([self._one(Counter(terms(words(document), self.max_ngram))) for document in documents])

    def _one(self, counts: Counter[str]) -> np.ndarray:
        known = [(self.index[term], count) for term, count in counts.items() if term in self.index]
        ids, count = np.array(known, int).reshape(-1, 2).T
        if self.idf is None:
            return self.kernel[ids].sum(0) + self.bias
        weights = (1 + np.log(count)) * self.idf[ids]
        return weights @ self.kernel[ids] / max(np.linalg.norm(weights), 1e-12) + self.bias

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides its answers."""
        return digests.of_json([self._described(), {name: digests.of_array(a) for name, a in self._arrays().items()}])

    def save(self, folder: Path) -> None:
        """Writes plain JSON and NumPy arrays: nothing in them is ever executed."""
        write_text(folder / VOCABULARY, json.dumps({**self._described(), "digest": self.digest}) + "\n")
        arrays: dict[str, Any] = self._arrays()
        write_file(folder / ARRAYS, lambda path: np.savez(path, **arrays))

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        """The inverse of :meth:`save`.

        Raises:
          UsageError: if there is none in the folder.
          RunError: if the files are damaged, do not fit each other, or are not as they were written; an earlier version
            wrote no digest, and of its models only the sizes are compared.
        """
        for name in (VOCABULARY, ARRAYS):
            if not (folder / name).exists():
                raise UsageError(f"{folder} holds no trained model (no {name}); train one")
        try:
            described = read_json(folder / VOCABULARY, "a vocabulary")
            made = cls._read(described, _arrays(folder / ARRAYS))
        except RunError as error:
            raise RunError(f"{error}; train it again") from error
        except _DAMAGED as error:
            said = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
            raise RunError(f"{folder / VOCABULARY} and {ARRAYS} are no model: {said}; train it again") from error
        if "digest" in described and described["digest"] != made.digest:
            raise RunError(f"{folder / VOCABULARY} and {ARRAYS} are not as they were written; train it again")
        return made

    @classmethod
    def _read(cls, described: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Linear":
        """Raises ValueError, KeyError or TypeError where the parts do not fit each other."""
        terms, names, most = described["terms"], described["class_names"], described["max_ngram"]
        if not all(isinstance(part, list) and all(isinstance(one, str) for one in part) for part in (terms, names)):
            raise ValueError("terms and class_names must be lists of strings")
        if len(names) < 2:
            raise ValueError(f"there must be two classes or more, got {len(names)}")
        if type(most) is not int or most < 1:
            raise ValueError(f"max_ngram must be 1 or more, got {most!r:.80}")
        kernel, bias, idf = arrays["kernel"], arrays["bias"], arrays.get("idf")
        index = {term: i for i, term in enumerate(terms)}
        logits = 1 if len(names) == 2 and bias.size == 1 else len(names)
        sizes = [len(index), *kernel.shape[:1], *(() if idf is None else idf.shape)]
        if set(sizes) != {len(terms)} or kernel.shape != (len(terms), logits) or bias.shape != (logits,):
            raise ValueError(f"{len(terms)} terms and {len(names)} classes do not fit weights {list(kernel.shape)}")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("a weight is NaN or infinite")
        return cls(index, idf, kernel, bias, tuple(names), most)

    def _described(self) -> dict[str, Any]:
        return {"terms": list(self.index), "class_names": list(self.class_names), "max_ngram": self.max_ngram}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"idf": self.idf, "kernel": self.kernel, "bias": self.bias}
        return {name: array for name, array in arrays.items() if array is not None}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    # Opened here, since NumPy leaves the file of a damaged archive open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def scores(model: Linear, documents: Sequence[str], labels: np.ndarray) -> dict[str, float]:
    """Mean cross-entropy in nats, and accuracy."""
    probabilities = class_probabilities(model.logits(documents))
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean()
    return {"loss": float(loss), "accuracy": float((probabilities.argmax(-1) == labels).mean())}

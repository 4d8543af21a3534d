"""A linear classifier of weighed word counts, in NumPy: what ``bag_of_words`` leaves behind and predicts with."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnjax.bars.ngrams import terms
from rnnjax.data.tokens import words
from rnnjax.errors import RunError, UsageError
from rnnjax.files import write_text
from rnnjax.tasks.metrics import class_probabilities


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

    def save(self, folder: Path) -> None:
        """Writes plain JSON and NumPy arrays: nothing in them is ever executed."""
        described = {"terms": list(self.index), "class_names": self.class_names, "max_ngram": self.max_ngram}
        write_text(folder / "vocabulary.json", json.dumps(described) + "\n")
        arrays = {"idf": self.idf, "kernel": self.kernel, "bias": self.bias}
        np.savez(folder / "model.npz", **{name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        try:
            described = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
            arrays = np.load(folder / "model.npz", allow_pickle=False)
            index = {term: i for i, term in enumerate(described["terms"])}
            names = tuple(described["class_names"])
            idf = arrays.get("idf")
            return cls(index, idf, arrays["kernel"], arrays["bias"], names, described["max_ngram"])
        except FileNotFoundError as error:
            raise UsageError(f"{folder} holds no trained model (no {Path(error.filename).name}); train one") from error
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{folder}: not a readable model ({error})") from error


def scores(model: Linear, documents: Sequence[str], labels: np.ndarray) -> dict[str, float]:
    """Mean cross-entropy in nats, and accuracy."""
    probabilities = class_probabilities(model.logits(documents))
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300)).mean()
    return {"loss": float(loss), "accuracy": float((probabilities.argmax(-1) == labels).mean())}

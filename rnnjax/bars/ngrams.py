"""The bar for texts: which words and pairs of words occur, weighed by naive Bayes, and a linear model.

Wang and Manning (2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification"): each n-gram counts
once a document, times its log-count ratio between a class and the rest; the linear model over these is a logistic
regression, as in Mesnil et al. (2015, arXiv:1412.5335). Order plays no part beyond neighbours.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnjax.bars import linear
from rnnjax.bars.base import Asked, Bar, judged
from rnnjax.data.tokens import TOKENIZERS

_LONGEST = {"words": 2, "plain-words": 2}
_CHARACTERS = 4
"""Longest runs of words, and of the tokens of the other tokenizers, that are counted."""

_STRENGTHS = (1.0, 0.1, 10.0)
"""Values of C that are tried, the likeliest first."""

_TIMED = 200
"""Documents by which the time of all is estimated."""


def terms(tokens: Sequence[str], max_ngram: int) -> Iterator[str]:
    """The words and, joined by spaces, the runs of up to ``max_ngram`` words."""
    for size in range(1, max_ngram + 1):
        yield from map(" ".join, zip(*(tokens[start:] for start in range(size)), strict=False))


def analyzer(tokenizer: str, max_ngram: int) -> Any:
    """What scikit-learn's vectorizers take: from a document to its terms."""
    tokenize = TOKENIZERS[tokenizer]
    return lambda document: terms(list(tokenize(document)), max_ngram)


def ratios(features: Any, column: np.ndarray, smoothing: float = 1.0) -> np.ndarray:
    """Log-count ratios ``[F]`` of binary features ``[N, F]`` between the examples with 1 and those with -1.

    ``log((p / |p|_1) / (q / |q|_1))`` with ``p``, ``q`` the counts among each, and ``smoothing`` added (Wang and
    Manning 2012, equation 2).
    """
    p, q = (smoothing + np.asarray(features[column * sign > 0].sum(0), np.float64).ravel() for sign in (1, -1))
    return np.log((p / p.sum()) / (q / q.sum()))


def bar(asked: Asked) -> Bar | None:
    """The bar of classes or labels of documents; None where the data set gives no documents or has other targets."""
    dataset = asked.dataset
    columns = asked.task.regressed(dataset.train, dataset.spec) if dataset.documents is not None else None
    if columns is None or dataset.documents is None or not linear.signs(columns):
        return None
    start, documents = time.monotonic(), dataset.documents()
    train = documents["train"]
    rows = linear.sample(len(train), _affordable(asked, documents, columns.shape[1]))
    kept = range(len(train)) if rows is None else rows.tolist()
    columns = columns[kept]
    vectorizer = _vectorizer(asked, len(kept))
    features = vectorizer.fit_transform([train[row] for row in kept])
    made = {split: vectorizer.transform(documents[split]) for split in {"validation", asked.split}}
    chosen = linear.by_validation(
        _STRENGTHS,
        lambda c: fitted(features, columns, c),
        lambda model: linear.on_validation(model(made["validation"]), asked),
        start + 0.7 * asked.seconds,
    )
    outputs, note = chosen.model(made[asked.split]), linear.sampled(rows, len(train))
    two = columns.shape[1] == 2 and linear.exclusive(columns)
    return judged("n-grams", outputs.astype(np.float32), asked, likely=two, note=note)


class Weighed(NamedTuple):
    """Linear models of which terms occur, the log-count ratios in their weights.

    Attributes:
      kernel: ``[F, L]``, a column a class against the rest; a single one of two classes, for the second.
      bias: ``[L]``.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, features: Any) -> np.ndarray:
        """Logits ``[N, C]`` of binary features ``[N, F]``."""
        made = features @ self.kernel + self.bias
        return linear.two_sided(made[:, 0]) if made.shape[1] == 1 else made


def fitted(features: Any, columns: np.ndarray, c: float) -> Weighed:
    """One linear model for each column of 1 and -1 against the rest, over features times its ratios."""
    two = columns.shape[1] == 2 and linear.exclusive(columns)
    each = [_column(features, column, c) for column in (columns[:, 1:] if two else columns).T]
    return Weighed(np.stack([kernel for kernel, _ in each], 1), np.array([bias for _, bias in each]))


def _column(features: Any, column: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    weights = ratios(features, column)
    kernel, bias = linear.binary(features.multiply(weights).tocsr(), column, c)
    return weights * kernel, bias


def _vectorizer(asked: Asked, documents: int) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    said = getattr(asked.dataset.preprocess, "tokenizer", "plain-words")
    tokenizer = said if said in _LONGEST else "characters"
    counted = analyzer(tokenizer, _LONGEST.get(tokenizer, _CHARACTERS))
    wide: Any = np.float64
    return CountVectorizer(analyzer=counted, binary=True, min_df=2 if documents >= 1000 else 1, dtype=wide)


def _affordable(asked: Asked, documents: Any, columns: int) -> float:
    """How many training documents there is time for, beside the judging."""
    some = documents["train"][:_TIMED]
    start = time.monotonic()
    _vectorizer(asked, 0).fit_transform(some)
    each = (time.monotonic() - start) / len(some)
    judging = each * sum(len(documents[split]) for split in {"validation", asked.split})
    fits = 0.5 * len(_STRENGTHS) * (1 if columns == 2 else columns)  # a fit costs about half of the counting
    return max(asked.seconds - judging, asked.seconds / 2) / (each * (1 + fits))

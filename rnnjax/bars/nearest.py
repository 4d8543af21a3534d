"""The bar for written answers: the answer to the training example whose source is most alike.

Sources are compared as bags of neighbouring tokens: runs of one and two where tokens are words or parts of them, of two
to four characters where they are characters, weighed by TF-IDF, by the cosine. Nothing is put together anew: what is
not among the training answers is never right.
"""

import time
from typing import Any

import numpy as np

from rnnjax.bars.base import Asked, Bar
from rnnjax.data import Examples
from rnnjax.data.tokens import PADDING

_RUNS = {"characters": (2, 4)}
_OTHERS = (1, 2)
"""Shortest and longest runs of tokens that are counted."""

_BLOCK = 64
"""Sources that are compared at once."""


def bar(asked: Asked) -> Bar | None:
    """The answers of the nearest training sources; None where the task writes none or sources are no token ids."""
    task, dataset, examples = asked.task, asked.dataset, asked.examples
    if not task.writes or not dataset.spec.vocabulary or "inputs" not in examples.arrays:
        return None
    start = time.monotonic()
    source = getattr(dataset.preprocess, "source", None)
    shortest, longest = _RUNS.get(getattr(source, "splitter", ""), _OTHERS)
    places, note = _nearest(dataset.train, examples, (shortest, longest), start + asked.seconds)
    answers = np.asarray(dataset.train["targets"])[places]
    batch = {name: np.asarray(array) for name, array in examples.stored().items()}
    batch["mask"] = np.ones(len(examples), bool)
    outputs = {
        "tokens": np.where(answers < 0, PADDING, answers),
        "weights": np.zeros((*answers.shape, 0), np.float32),
        "score": np.zeros(len(answers), np.float32),
    }
    kept = {name: np.asarray(array) for name, array in task.keep(outputs, batch).items()}
    return Bar("nearest pair", task.finish_kept(kept, dataset.spec), task.outcomes(kept, dataset.spec), note)


def _nearest(train: Examples, asked: Examples, runs: tuple[int, int], until: float) -> tuple[np.ndarray, str]:
    """The row of the training example whose source is nearest to each source ``[N]``, the first of several, and a note
    where there was no time to look at all of them.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    weighed: Any = {"analyzer": lambda row: _terms(row, *runs), "dtype": np.float32, "sublinear_tf": True}
    vectorizer = TfidfVectorizer(**weighed)
    known = vectorizer.fit_transform(_rows(train)).tocsr()
    sources = vectorizer.transform(_rows(asked))
    every, start = known.shape[0], time.monotonic()
    _places(sources[:_BLOCK], known)
    # One block tells how long all take: what there is no time for is left out.
    whole = (time.monotonic() - start) * len(asked) / _BLOCK
    share = min(max(until - time.monotonic(), 0) / max(whole, 1e-9), 1)
    rows = max(1, int(every * share))
    return _places(sources, known[:rows]), "" if rows == every else f"of {rows:,} of {every:,} training pairs"


def _places(sources: Any, known: Any) -> np.ndarray:
    """The row of ``known [M, F]`` whose product with each of ``sources [N, F]`` is largest, ``[N]``; both sparse."""
    columns = known.T
    blocks = (sources[first : first + _BLOCK] @ columns for first in range(0, sources.shape[0], _BLOCK))
    return np.concatenate([np.asarray(alike.argmax(1)).ravel() for alike in blocks])


def _rows(examples: Examples) -> list[list[int]]:
    """The token ids of each source, without its padding."""
    inputs = np.asarray(examples.arrays["inputs"])
    lengths = np.full(len(inputs), inputs.shape[1]) if examples.lengths is None else examples.lengths
    return [row[:length].tolist() for row, length in zip(inputs, lengths, strict=True)]


def _terms(row: list[int], shortest: int, longest: int) -> Any:
    """Runs of tokens; where single ones are none, one end of a source is a token too."""
    framed = [-1, *row, -1] if shortest > 1 else row
    for size in range(shortest, longest + 1):
        yield from zip(*(framed[start:] for start in range(size)), strict=False)

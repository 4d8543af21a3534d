"""What a classifier of documents that is no experiment of the package answers on the command line."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from rnnjax import Classification
from rnnjax.data.text_inputs import text_inputs
from rnnjax.errors import DataError, UsageError
from rnnjax.runs.answering import Prediction
from rnnjax.runs.answers import write
from rnnjax.tasks.metrics import class_probabilities

_TOGETHER = 64
"""Documents that are answered at once."""


def predict(
    logits: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
    paths: Sequence[str],
    given: Sequence[str],
    json_lines: bool,
) -> int:
    """Prints the class of each document and its probability, and returns the exit code.

    Args:
      logits: from documents to logits ``[N, C]``, or ``[N, 1]`` for two classes.
      class_names: of the classes.
      paths, given: as for :func:`rnnjax.data.text_inputs.text_inputs`.
      json_lines: whether to print JSON.

    Raises:
      UsageError: if there is nothing to predict.
    """
    if not given and not paths:
        raise UsageError("nothing to predict: give --text LINE, text files or -")
    inputs = text_inputs(given, paths, sys.stdin)

    def answers() -> Iterator[Prediction]:
        while some := list(itertools.islice(inputs, _TOGETHER)):
            yield from _answered(some, logits, class_names)

    return write(answers(), Classification(), "jsonl" if json_lines else "plain", None)


def _answered(
    inputs: Iterable[tuple[str, Callable[[], str]]],
    logits: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
) -> list[Prediction]:
    made: list[Prediction] = []
    documents: dict[int, str] = {}
    for number, (name, read) in enumerate(inputs):
        try:
            documents[number] = read()
            made.append(Prediction(name))
        except DataError as error:
            made.append(Prediction(name, error=str(error)))
    if documents:
        probabilities = class_probabilities(logits(list(documents.values())))
        for number, each in zip(documents, probabilities, strict=True):
            best = int(each.argmax())
            made[number] = Prediction(
                made[number].source, {"label": class_names[best], "probability": float(each[best])}
            )
    return made

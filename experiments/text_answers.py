"""What a classifier of documents that is no experiment of the package answers on the command line."""

import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from rnnjax import Classification, cli
from rnnjax.data.text_inputs import text_inputs
from rnnjax.data.tokens import each_word
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


def commands(
    folder: Path,
    evaluate: Callable[[Path, str, str | None, bool], int],
    predict: Callable[[Path, Sequence[str], Sequence[str], bool], int],
) -> dict[str, Callable[..., Callable[[], int]]]:
    """The commands ``evaluate`` and ``predict`` of a command line, from what they run.

    Args:
      folder: of the trained model, by default.
      evaluate: from it, the split, the TFDS data directory and whether other data are allowed to the exit code.
      predict: from it, paths, documents and whether to print JSON to the exit code.
    """

    def evaluate_command(
        workdir: Path = folder,
        split: cli.SplitName = "validation",
        data_dir: str | None = None,
        other_data: bool = False,
    ) -> Callable[[], int]:
        """Evaluate on a whole split.

        Args:
          workdir: Folder of the trained model.
          split: Split to evaluate on.
          data_dir: TFDS data directory; unset: TFDS_DATA_DIR.
          other_data: Evaluate also on other data than those of the training, of the same kind and classes.
        """
        return lambda: evaluate(workdir, split, data_dir, other_data)

    def predict_command(
        inputs: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
        workdir: Path = folder,
        text: tuple[str, ...] = (),
        json_lines: bool = False,
    ) -> Callable[[], int]:
        """Predict the class of documents.

        Args:
          inputs: Text files, tables and folders of them, or - for lines of stdin.
          workdir: Folder of the trained model.
          text: Documents given on the command line.
          json_lines: Print one JSON object an input.
        """
        return lambda: predict(workdir, inputs, text, json_lines)

    return {"evaluate": evaluate_command, "predict": predict_command}


def _answered(
    inputs: Iterable[tuple[str, Callable[[], str]]],
    logits: Callable[[Sequence[str]], np.ndarray],
    class_names: Sequence[str],
) -> list[Prediction]:
    made: list[Prediction] = []
    documents: dict[int, str] = {}
    for number, (name, read) in enumerate(inputs):
        place = getattr(read, "place", name)
        try:
            documents[number] = read()
            made.append(Prediction(name, place=place))
        except DataError as error:
            made.append(Prediction(name, error=str(error), place=place))
    if documents:
        probabilities = class_probabilities(logits(list(documents.values())))
        for (number, document), each in zip(documents.items(), probabilities, strict=True):
            best = int(each.argmax())
            row = {"label": class_names[best], "probability": float(each[best])}
            if next(each_word(document), None) is None:
                row["unknown"] = None  # a share of no words is none: of these a note is made
            made[number] = dataclasses.replace(made[number], row=row)
    return made

"""From a work folder to predictions."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from rnnjax import digests, terminal
from rnnjax.runs import changes
from rnnjax.training import state
from rnnjax.models.build import build_model
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.data import Preprocess, TextPreprocess, files, image_files
from rnnjax.data import preprocess as preprocessing
from rnnjax.errors import DataError, RnnjaxError, RunError, UsageError
from rnnjax.training.identity import module_identity
from rnnjax.tasks.metrics import class_probabilities
from rnnjax.training.optim import make_optimizer
from rnnjax.runs.record import Run
from rnnjax.runs.workdir import WorkDir

_BATCH = 64
_MOST_BYTES = 2**30
"""Of a text file: it is read at once."""

Input = tuple[str, Callable[[], Any]]
"""A name to answer under, and a function that reads the input and may raise DataError."""


class Loaded(NamedTuple):
    """A trained model, ready to use: ``model.apply(variables, **preprocess(raw))`` gives logits."""

    model: nn.Module
    variables: Any
    preprocess: Preprocess


def load(root: str | Path, model: nn.Module | None = None) -> Loaded:
    """Loads the best checkpoint of a work folder; nothing but the folder is needed.

    Args:
      root: the work folder, such as ``runs/mnist_rows/seed-0``.
      model: the module that was trained, if it is not one that the configuration describes; the precision of its
        products is its own affair.

    Raises:
      UsageError: if the folder holds no run, no checkpoint yet, or one of another module.
      RunError: if no checkpoint in it can be used.
    """
    if model is not None and not isinstance(model, nn.Module):
        raise UsageError(f"load: model must be a module such as Net(...), got {model!r:.80}")
    workdir = WorkDir(Path(root))
    run = workdir.read_run()
    for changed in changes.since(run.version, run.config):
        terminal.note(f"{root} was trained before a change of meaning, and answers otherwise than it did: {changed}")
    preprocess = preprocessing.load(workdir.preprocess)
    if run.digested and digests.of_json(preprocessing.to_json(preprocess)) != run.preprocess:
        raise RunError(f"{workdir.preprocess} is not as it was written; the command that trained it mends it")
    try:
        model = model or build_model(run.config.model, preprocess)
        # The optimizer's state has the same structure for any number of steps.
        optimizer = make_optimizer(run.config.optim, 2)
        averaged = run.config.optim.ema_decay > 0
        make = state.initializer(model, optimizer, _any_input(preprocess), averaged=averaged)
        like = jax.eval_shape(make, jax.random.key(0))
    except RnnjaxError:
        raise
    except Exception as error:  # sizes that no model can have are met by whatever computes with them first
        raise RunError(
            f"{workdir.config} and {workdir.preprocess} describe no model: {str(error).splitlines()[0][:300]}"
        ) from error
    _check_model(root, run, model, like)
    checkpoints = Checkpoints(workdir.checkpoints, run.mark(), digested=run.digested)
    if not checkpoints.steps():
        raise UsageError(f"{root} holds no checkpoint yet; train it first")
    saved, problems = checkpoints.best(like)
    listed = "; ".join(f"step {step}: {why}" for step, why in sorted(problems.items()))
    if saved is None:
        raise RunError(f"no checkpoint in {workdir.checkpoints} can be used: {listed}")
    if problems:
        terminal.note(
            f"that of step {saved.step} is the best checkpoint in {workdir.checkpoints} that is whole; {listed}"
        )
    return Loaded(model, saved.state.variables(), preprocess)


def _check_model(root: str | Path, run: Run, model: nn.Module, like: state.TrainState) -> None:
    """Raises UsageError if a module is not the one that was trained, although its parameters may have its shapes."""
    ours = module_identity(model, {"params": like.params, **like.model_state})
    apart = digests.first_difference(ours, run.model, "model") if run.model else None
    if apart is not None:
        raise UsageError(
            f"{root} was trained with another module: {digests.shown_difference(ours, run.model, apart)}; "
            "a module of your own is loaded by rnnjax.load(folder, model=...)"
        )


@dataclass(frozen=True)
class Prediction:
    """An answer, or why there is none.

    Attributes:
      source: the file, or the line.
      label: the most probable class, or None.
      probability: of that class, 0..1.
      error: what was wrong with the input, or None.
    """

    source: str
    label: str | None = None
    probability: float = 0.0
    error: str | None = None


def predict(loaded: Loaded, inputs: Sequence[Input]) -> Iterator[Prediction]:
    """Answers every input that can be read, in order, and says why it does not answer the others.

    Args:
      loaded: what :func:`load` gave.
      inputs: what to answer; each is read as a pixel array or a document.
    """
    model, variables, preprocess = loaded
    apply = jax.jit(lambda variables, inputs: model.apply(variables, **inputs))
    for start in range(0, len(inputs), _BATCH):
        read = [_read(name, function) for name, function in inputs[start : start + _BATCH]]
        raw = [value for value, _ in read if value is not None]
        labelled = iter(_label(apply, variables, preprocess, raw))
        for (value, error), (name, _) in zip(read, inputs[start : start + _BATCH], strict=True):
            yield Prediction(name, error=error) if value is None else Prediction(name, *next(labelled))


def image_inputs(preprocess: Any, paths: Sequence[str]) -> list[Input]:
    """Inputs for image files and folders of them (not searched deeper; hidden files are left out)."""
    inputs: list[Input] = []
    for path in map(Path, paths):
        try:
            found = sorted(f for f in path.iterdir() if image_files.is_image(f.name)) if path.is_dir() else [path]
        except OSError as error:
            inputs.append((str(path), _raising(f"{path}: {error.strerror or error}")))
            continue
        if not found:
            inputs.append((str(path), _raising(f"{path}: no images in this folder")))
        inputs += [(str(file), functools.partial(preprocess.read, file)) for file in found]
    return inputs


def text_inputs(documents: Sequence[str], paths: Sequence[str], stdin: Any) -> list[Input]:
    """Inputs for documents, for text files with a document a line (blank lines skipped), and for stdin (``-``)."""
    inputs = [_line(text) for text in documents]
    for path in paths:
        try:
            inputs += map(_line, _documents(path, stdin))
        except DataError as error:
            inputs.append((path, _raising(str(error))))
    return inputs


def _documents(path: str, stdin: Any) -> list[str]:
    """The lines of a text file, or of stdin, that are not blank; there is at least one."""
    if path == "-":
        data = stdin.buffer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise files.too_large("standard input", _MOST_BYTES)
    else:
        data = files.read_bytes(Path(path), _MOST_BYTES, hint="; give - to read standard input")
    try:
        if b"\0" in data:
            raise UnicodeError("it holds NUL bytes")
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error})") from error
    documents = [line for line in lines if line.strip()]
    if not documents:
        raise DataError(f"{path}: there is no text in it")
    return documents


def _label(apply: Callable, variables: Any, preprocess: Any, raw: list[Any]) -> list[tuple[str, float]]:
    if not raw:
        return []
    # Padded to one size, so that any number of inputs compiles once; a document, which may be long, is encoded once.
    rows = [*range(len(raw)), *[0] * (_BATCH - len(raw))]
    if isinstance(preprocess, TextPreprocess):
        inputs = {name: array[rows] for name, array in preprocess(raw).items()}
    else:
        inputs = preprocess(np.stack(raw)[rows])
    probabilities = class_probabilities(np.asarray(apply(variables, inputs)))[: len(raw)]
    classes = probabilities.argmax(-1)
    return [(preprocess.class_names[c], float(row[c])) for c, row in zip(classes, probabilities, strict=True)]


def _read(name: str, function: Callable[[], Any]) -> tuple[Any, str | None]:
    del name
    try:
        return function(), None
    except DataError as error:
        return None, str(error)


def _line(text: str) -> Input:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        shown = text.encode("utf-8", "replace").decode("utf-8")
        return shown, _raising(f"{shown[:80]}: the command line gave it in another encoding than UTF-8")
    return text, lambda: text


def _raising(message: str) -> Callable[[], Any]:
    def read() -> Any:
        raise DataError(message)

    return read


def _any_input(preprocess: Preprocess) -> dict[str, Any]:
    if isinstance(preprocess, TextPreprocess):
        return preprocess(["any"])
    return preprocess(np.zeros((1, *preprocess.shape), np.uint8))

"""The weights of another work folder, read without its experiment: from its record and its checkpoints' trees."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rnnjax import digests, terminal
from rnnjax.data.pair_preprocess import PairPreprocess
from rnnjax.data.preprocess import identity_of
from rnnjax.data.token_sets import stored_words
from rnnjax.errors import RunError, UsageError
from rnnjax.experiment import known_task
from rnnjax.files import read_json
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints, Saved
from rnnjax.training.state import variables_of
from rnnjax.training.transfer import Tokens

_PARTS = ("params", "model_state", "averaged")


@dataclass(frozen=True)
class Source:
    """What is read of another run.

    Attributes:
      variables: collections by name, the averages where there are any, on the host.
      tokens: what ids of its inputs stand for.
      names: of its outputs, such as those of classes.
      said: JSON: ``experiment``, ``run`` (its id), ``checkpoint`` (``best`` or ``latest``), ``step``, ``averaged``, and
        digests of the variables and of the tokens.
      task: the kind of its task; of one of its own, empty.
      backwards: whether it reads texts from their end; None: what it reads has no direction.
    """

    variables: dict[str, Any]
    tokens: Tokens
    names: tuple[str, ...]
    said: dict[str, Any]
    task: str = ""
    backwards: bool | None = None


def read_source(folder: Path, checkpoint: str) -> Source:
    """Reads the weights of a run.

    Args:
      folder: its work folder.
      checkpoint: ``best`` or ``latest``.

    Raises:
      UsageError: if it holds no run, or no checkpoint yet.
      RunError: if its record or its preprocessing is not as it was written, or none of its checkpoints can be used.
    """
    workdir = WorkDir(folder)
    record = _record(workdir)
    checkpoints = Checkpoints(workdir.checkpoints, {"id": record.get("run", "")}, digested=record.get("version", 1) > 1)
    if not checkpoints.steps():
        raise UsageError(f"--init-from: {folder} holds no checkpoint yet; train it first")
    saved = _saved(checkpoints, record, checkpoint)
    variables = jax.tree.map(np.asarray, variables_of({"model_state": {}, **saved.state}))
    preprocess = _preprocess(workdir, record)
    tokens = tokens_of(preprocess, (record.get("spec") or {}).get("vocabulary"))
    said = {
        "experiment": record["experiment"],
        "run": record.get("run", ""),
        "checkpoint": checkpoint,
        "step": saved.step,
        "averaged": "averaged" in saved.state,
        "weights": digests.of_json(digests.of_tree(variables)),
        "tokens": _digest(tokens),
    }
    names = tuple((record.get("spec") or {}).get("names", ()))
    backwards = preprocess.get("backwards", False) if preprocess.get("kind") == "windows" else None
    return Source(variables, tokens, names, said, _task_of(record), backwards)


def _digest(tokens: Tokens) -> str | None:
    """Of what ids stand for; of two sides, of both."""
    if not tokens.words:
        return None
    written = [] if tokens.written is None else [tokens.written.tokenizer, *tokens.written.words]
    return digests.of_json([tokens.tokenizer, *tokens.words, *written])


def _task_of(record: Mapping[str, Any]) -> str:
    """The kind of a run's task; the first version had one and did not say it."""
    return (record.get("parts", {}).get("task") or {"kind": "classification"})["kind"] or ""


def _record(workdir: WorkDir) -> dict[str, Any]:
    """What ``config.json`` says; its sections may be of classes that are not known here, and are not looked into."""
    root = workdir.root
    if not root.exists():
        raise UsageError(f"--init-from: {root} does not exist; give the work folder of a run")
    if not workdir.config.is_file():
        raise UsageError(f"--init-from: {root} holds no run (there is no {workdir.config.name} in it)")
    record = read_json(workdir.config, "a configuration")
    if not isinstance(record.get("experiment"), str) or not isinstance(record.get("config"), dict):
        raise UsageError(f"--init-from: {workdir.config} is not the record of a run")
    if not set(record) <= {"experiment", "seed", "config"} and not digests.is_whole(record):
        raise RunError(f"{workdir.config} is not as it was written; the command that trained it mends it")
    return record


def _saved(checkpoints: Checkpoints, record: Mapping[str, Any], checkpoint: str) -> Saved:
    """The newest checkpoint that is whole, or the best of those."""
    like, problems = _like(checkpoints)
    saved = None
    if like is not None and checkpoint == "latest":
        saved = _newest(checkpoints, like, problems)
    elif like is not None:
        task = known_task(_task_of(record))
        saved, more = checkpoints.best(like, task.rank if task else _no_order, partly=True)
        problems |= more
    listed = "; ".join(f"step {step}: {why}" for step, why in sorted(problems.items()))
    if saved is None:
        raise RunError(f"--init-from: no checkpoint in {checkpoints.shown} can be used: {listed}")
    if problems:
        terminal.note(
            f"--init-from: that of step {saved.step} is the {checkpoint} checkpoint in {checkpoints.shown} that is "
            f"whole; {listed}"
        )
    return saved


def _newest(checkpoints: Checkpoints, like: Any, problems: dict[int, str]) -> Saved | None:
    for step in reversed(checkpoints.steps()):
        try:
            return checkpoints.read(step, like, partly=True)
        except RunError as error:
            problems.setdefault(step, str(error))
    return None


def _no_order(validation: Mapping[str, float]) -> tuple[float, float]:
    """Of a task that is not known here: among its checkpoints, the newest is the best."""
    del validation
    return 0.0, 0.0


def _like(checkpoints: Checkpoints) -> tuple[dict[str, Any] | None, dict[int, str]]:
    """Shapes of what is read of the checkpoints, of the newest that tells them, and why newer ones do not."""
    problems: dict[int, str] = {}
    for step in reversed(checkpoints.steps()):
        try:
            shapes = checkpoints.shapes(step)
        except RunError as error:
            problems[step] = str(error)
            continue
        like: dict[str, Any] = {}
        for path, (shape, dtype) in shapes.items():
            *above, name = path.split("/")
            if above and above[0] in _PARTS:
                at = like
                for part in above:
                    at = at.setdefault(part, {})
                at[name] = jax.ShapeDtypeStruct(shape, dtype)
        if "params" in like:
            return like, problems
        problems[step] = "it holds no parameters"
    return None, problems


def _preprocess(workdir: WorkDir, record: Mapping[str, Any]) -> dict[str, Any]:
    """The folder's preprocessing as JSON; empty where there is none."""
    said = read_json(workdir.preprocess, "a preprocessing") if workdir.preprocess.is_file() else {}
    wanted = record.get("preprocess", "")
    if wanted and digests.of_json(identity_of(said)) != wanted:
        raise RunError(f"{workdir.preprocess} is not as it was written; the command that trained it mends it")
    return said


def tokens_of(preprocess: Mapping[str, Any], size: int | None = None) -> Tokens:
    """What ids stand for.

    Args:
      preprocess: JSON of a preprocessing; of one that reads tokens, they are its ``vocabulary``, and of pairs, those of
        its ``source`` and ``target``.
      size: number of ids of its data; None: that of the vocabulary.
    """
    if preprocess.get("kind") == PairPreprocess.kind:
        read, written = (_of_side(preprocess.get(side)) for side in ("source", "target"))
        return dataclasses.replace(read, size=read.size if size is None else size, written=written)
    words = preprocess.get("vocabulary")
    words = tuple(words) if isinstance(words, list | tuple) and all(isinstance(word, str) for word in words) else ()
    tokenizer = preprocess.get("tokenizer", "words") if words else ""  # older work folders know of no other
    return Tokens(len(words) if size is None else size, words, str(tokenizer))


def _of_side(values: Any) -> Tokens:
    """What ids of one side of pairs stand for; nothing that is known where it is damaged."""
    try:
        words, splitter = stored_words(values), str(values["splitter"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return Tokens()
    return Tokens(len(words), words, splitter)

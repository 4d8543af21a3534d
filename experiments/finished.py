"""What a finished run left in its folder: its result, read with care, and whether a command may write there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import experiments
from rnnjax.errors import RunError, UsageError
from rnnjax.experiment import Listed
from rnnjax.files import read_json
from rnnjax.runs.locks import exclusively

RESULT = "result.json"

_KINDS = {
    "config.json": "a run of a network",
    "members.json": "models together",
    "vocabulary.json": "a model of word counts",
}
"""The file that only folders of one kind have, and what they hold."""


def result(root: Path, kind: type[Listed] = Listed) -> dict[str, Any]:
    """The result of a finished run of an experiment of a kind, with its ``experiment`` and ``seed``.

    Raises:
      UsageError: if the folder holds none.
      RunError: if the file is none, or of no experiment that there is, or of one of another kind.
    """
    path = root / RESULT
    if not os.path.lexists(path):
        raise UsageError(f"{root} holds no finished run (no {RESULT}); train it first")
    try:
        found = read_json(path, "a result")
        if missing := [name for name in ("experiment", "seed") if name not in found]:
            raise RunError(f"{path}: not a result: {missing[0]} is missing")
        if type(found["seed"]) is not int:
            raise RunError(f"{path}: not a result: the seed is {found['seed']!r:.80}")
        of = experiment(found, path)
    except RunError as error:
        raise RunError(f"{error}; train it again") from error
    if not isinstance(of, kind):
        raise RunError(
            f"{path} is a result of {of.name}, and not of what else the folder holds; train both again, each in a "
            "folder of its own"
        )
    return found


def experiment(found: dict[str, Any], path: Path) -> Listed:
    """The experiment that a result names; raises RunError if there is none."""
    name = found["experiment"]
    try:
        if isinstance(name, str) and name.partition("-")[0] in experiments.NAMES:
            return experiments.load(name)
    except UsageError as error:  # a variant that it does not have
        raise RunError(f"{path}: {error}") from error
    raise RunError(f"{path}: there is no experiment {name!r:.80}")


def own(root: Path, name: str, kind: str, *, fresh: bool) -> dict[str, Any] | None:
    """The earlier result in a folder that an experiment is to write to; None where it is free.

    Args:
      root: the folder, which may not be there yet.
      name: of the experiment.
      kind: the file that only folders of its kind have.
      fresh: whether what is there is replaced, if it is the experiment's: then a damaged result is none.

    Raises:
      UsageError: if the path is a file, or what the folder holds is another's: it stays as it is.
      RunError: if the result is damaged.
    """
    if os.path.lexists(root) and not root.is_dir():
        raise UsageError(f"{root} is no folder, and {name} needs one; name another --workdir")
    for file, what in _KINDS.items():
        if file != kind and os.path.lexists(root / file):
            raise UsageError(f"{root} holds {what} ({file}), which {name} does not write over; name another --workdir")
    if not os.path.lexists(root / RESULT):
        return None
    try:
        found = result(root)
    except RunError as error:
        if fresh:
            return None
        raise RunError(f"{error}: --fresh replaces it, or name another --workdir") from error
    if found["experiment"] != name:
        raise UsageError(
            f"{root / RESULT} is a result of {found['experiment']}, which {name} does not write over; "
            "name another --workdir"
        )
    return found


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Makes a folder, in which no other process trains for the block; one that fails early leaves no empty folder.

    Raises:
      RunError: if another does.
    """
    new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    lock = root / ".lock"
    with exclusively(lock, f"{root}: a training is at work there", instead="--workdir"):
        try:
            yield
        except BaseException:
            if new and os.listdir(root) == [lock.name]:
                lock.unlink()
                root.rmdir()
            raise


def begin(root: Path) -> None:
    """Takes an earlier result from a folder: what is written from here on is of another training."""
    (root / RESULT).unlink(missing_ok=True)

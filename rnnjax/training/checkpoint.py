"""Checkpoints: the only module that names Orbax.

Each checkpoint has three parts: the training state, the run's progress on the host, and a manifest with a digest of
every leaf and of the progress, the run that it is of, and a digest of itself. What is read is checked against it, since
Orbax checks none of the bytes of an array. Kept are the two newest checkpoints and the best that each of them knows of.
Saving copies the state at once and writes it in the background.
"""

import contextlib
import functools
import json
import logging
import math
import re
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from rnnjax import digests
from rnnjax.errors import RunError, SaveError

# Orbax reports every file it touches; what matters of its errors is in ours.
logging.getLogger("absl").setLevel(logging.CRITICAL)
# When several arrays of a damaged checkpoint cannot be read, asyncio prints each error that was not the first.
logging.getLogger("asyncio").addFilter(lambda record: "tensorstore" not in record.getMessage())

_NAME = re.compile(r"step_(\d+)")

_ONE_AT_A_TIME = threading.Lock()
_WRITING: weakref.WeakSet[Any] = weakref.WeakSet()
"""Managers that may still be writing: Orbax has names that are one for the whole process, so their saves take turns."""

_MOST_SHOWN = 160
"""Characters of what a library says of a damaged file; what follows names its own parts."""

_KEPT = 2
"""Newest checkpoints that are kept: when the last one turns out to be damaged, the one before takes its place."""


Rank = Callable[[Mapping[str, float]], tuple[float, float]]
"""What orders validations, the best last, see :meth:`rnnjax.tasks.Task.rank`."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read and checked.

    Attributes:
      step: number of steps taken.
      progress: JSON values.
      state: as it was saved, or None where only the progress was read.
    """

    step: int
    progress: dict[str, Any]
    state: Any = None


class Checkpoints:
    """The checkpoints of one work folder; use it as a context manager, which waits for writes to end.

    Args:
      folder: where they lie; it need not exist, and is made at the first save.
      mark: what says of which run they are, as JSON values. A checkpoint of another is not read. None: any is.
      digested: whether a checkpoint without digests is damaged; if not, it is of an older run and read unchecked.
    """

    def __init__(self, folder: Path, mark: Mapping[str, Any] | None = None, *, digested: bool = True):
        self.folder, self.shown, self._digested = folder.absolute(), folder, digested
        self._mark = None if mark is None else json.loads(json.dumps(mark))  # as it comes back: tuples become lists
        self._best = {step: self._best_of(step) for step in self.steps()}
        self._manager: Any = None
        self._failed = False

    def __enter__(self) -> "Checkpoints":
        _quiet_threads()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._manager is None or self._failed:  # after a failed save its threads wait five minutes for each other
            return
        try:
            self.wait()
            self._manager.close()
        except SaveError:
            if exception[0] is None:
                raise

    # Writing

    def save(self, step: int, state: Any, progress: dict[str, Any], best: int | None = None) -> None:
        """Starts writing a checkpoint.

        Args:
          step: number of training steps taken; it names the checkpoint.
          state: tree of NumPy arrays that nothing else writes to.
          progress: JSON values.
          best: step of the best checkpoint so far, which is kept whatever its age.

        Raises:
          SaveError: if this one or the one before cannot be written.
        """
        if step in self.steps():
            return
        self._note_saved()
        manifest = {"step": step, "run": self._mark, "state": digests.of_tree(state)}
        manifest["progress"] = digests.of_json(progress)
        parts = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            progress=ocp.args.JsonSave(progress),
            manifest=ocp.args.JsonSave(digests.sealed(manifest)),
        )
        self._best[step] = best
        with _ONE_AT_A_TIME:
            for other in list(_WRITING):
                with contextlib.suppress(Exception):  # it is raised to whoever saved there
                    other.wait_until_finished()
            self._or_fail(lambda: self._made_manager().save(step, args=parts, force=True))
            _WRITING.add(self._manager)

    def wait(self) -> None:
        """Returns when everything that was saved is on disk; raises SaveError if it cannot be."""
        if self._manager is not None:
            self._or_fail(self._manager.wait_until_finished)
            _WRITING.discard(self._manager)
            self._note_saved()

    def _note_saved(self) -> None:
        """Leaves a file beside the folder once a checkpoint is whole: should all be gone one day, that is a loss."""
        if self.steps():
            with contextlib.suppress(OSError):
                self.saved_once.touch()

    @property
    def saved_once(self) -> Path:
        """A file that is there if this run ever had a whole checkpoint."""
        return self.folder.parent / ".saved"

    def _made_manager(self) -> Any:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=_Keep(self._best),
                step_name_format=ocp.path.step.standard_name_format(step_prefix="step", step_format_fixed_length=8),
            )
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def _or_fail(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except Exception as error:  # Orbax, tensorstore and the system each raise their own
            self._failed = True
            if self._manager is not None:
                _WRITING.discard(self._manager)
            raise SaveError(f"a checkpoint cannot be written to {self.folder}: {_first_line(error)}") from error

    # Reading

    def steps(self) -> list[int]:
        """The steps of which there is a folder, rising; none is looked into."""
        if not self.folder.is_dir():
            return []
        return sorted(int(name[1]) for path in self.folder.iterdir() if (name := _NAME.fullmatch(path.name)))

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def shapes(self, step: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each array of a checkpoint's state by its path; raises RunError as :meth:`read`."""
        manifest = self._manifest(step)
        if manifest is not None:
            return {path: (tuple(leaf["shape"]), leaf["dtype"]) for path, leaf in manifest["state"].items()}
        try:
            tree: Any = ocp.PyTreeCheckpointHandler().metadata(self._path(step) / "state").tree  # pyright: ignore
            return {path: (tuple(leaf.shape), np.dtype(leaf.dtype).name) for path, leaf in digests.leaves(tree).items()}
        except Exception as error:  # as when it is read
            raise RunError(f"its state cannot be read: {_first_line(error)}") from error

    def read(self, step: int, like: Any = None, *, partly: bool = False) -> Saved:
        """A checkpoint, checked leaf by leaf against its digests.

        Args:
          step: which one.
          like: tree of arrays or shapes with the structure of what was saved; None: the progress alone is read.
          partly: ``like`` is a dictionary of some of the state's parts by name, and these alone are read.

        Raises:
          RunError: if it is damaged, of another run, or not of such a state; what it says begins with "it".
        """
        manifest, progress = self._manifest(step), self._json(step, "progress")
        if manifest is not None and manifest["progress"] != digests.of_json(progress):
            raise RunError("its progress is not as it was saved: the digests differ")
        if like is None:
            return Saved(step, progress)
        parts = tuple(f"{name}/" for name in like) if partly else ("",)
        if manifest is not None:
            saved = {path: leaf for path, leaf in manifest["state"].items() if path.startswith(parts)}
            _check_shapes(saved, digests.shapes(like))
        state = self._state(step, like, partly)
        _check_shapes(digests.shapes(state), digests.shapes(like))
        if manifest is not None:
            for path, read in digests.of_tree(state).items():
                if read["sha256"] != manifest["state"][path]["sha256"]:
                    raise RunError(f"its array {path} is not as it was saved: the digests differ")
        return Saved(step, progress, state)

    def newest(self, like: Any) -> tuple[Saved | None, dict[int, str]]:
        """The newest checkpoint that is whole and of this run, and why each newer one is not, by step."""
        problems: dict[int, str] = {}
        for step in reversed(self.steps()):
            try:
                return self.read(step, like), problems
            except RunError as error:
                problems[step] = str(error)
        return None, problems

    def best(self, like: Any, rank: Rank, *, partly: bool = False) -> tuple[Saved | None, dict[int, str]]:
        """The best checkpoint that is whole, and why those that should have come first are not, by step.

        Args:
          like, partly: as for :meth:`read`.
          rank: orders validations, the best last.

        Best is what the newest progress says; where that one is damaged, the best validation of those that are whole.
        """
        problems: dict[int, str] = {}
        for step in reversed(self.steps()):
            known = self._or_none(step, None, False, problems)
            if known is not None:  # where nothing was validated yet, it is the best itself
                best = self._or_none(int(known.progress.get("best", {}).get("step", step)), like, partly, problems)
                if best is not None:
                    return best, problems
                break
        whole = [self._or_none(step, like, partly, problems) for step in self.steps() if step not in problems]

        def order(saved: Saved) -> tuple[tuple[float, float], int]:
            validation = saved.progress.get("validation")
            return rank(validation) if validation else (-math.inf, -math.inf), saved.step

        return max((saved for saved in whole if saved), key=order, default=None), problems

    def marks(self) -> list[dict[str, Any]]:
        """What the checkpoints that lie there say of their run."""
        found = []
        for step in reversed(self.steps()):
            try:
                manifest = self._json(step, "manifest")
                found += [manifest["run"]] if digests.is_whole(manifest) and manifest["run"] else []
            except (RunError, KeyError):
                continue
        return found

    def set_aside(self, step: int, where: Path) -> Path:
        """Moves a checkpoint out of the way, to a folder of its own below ``where``."""
        where.mkdir(exist_ok=True)
        name = f"step_{step:08d}"
        target = next(where / f"{name}{suffix}" for suffix in _suffixes() if not (where / f"{name}{suffix}").exists())
        self._path(step).rename(target)
        self._best.pop(step, None)
        return target

    def _or_none(self, step: int, like: Any, partly: bool, problems: dict[int, str]) -> Saved | None:
        try:
            return self.read(step, like, partly=partly)
        except RunError as error:
            problems.setdefault(step, str(error))
            return None

    def _best_of(self, step: int) -> int | None:
        try:
            return int(self._json(step, "progress")["best"]["step"])
        except (RunError, KeyError, TypeError, ValueError):
            return None

    def _path(self, step: int) -> Path:
        names = [p for p in self.folder.iterdir() if (n := _NAME.fullmatch(p.name)) and int(n[1]) == step]
        if not names:
            raise RunError("it is gone")
        return names[0]

    def _manifest(self, step: int) -> dict[str, Any] | None:
        """The checked manifest; None of an older run's checkpoint, which has none."""
        if not self._digested and not (self._path(step) / "manifest").exists():
            return None
        manifest = self._json(step, "manifest")
        if not digests.is_whole(manifest) or not {"step", "run", "state", "progress"} <= set(manifest):
            raise RunError("its manifest is not as it was saved: the digests differ")
        if manifest["step"] != step:
            raise RunError(f"it is in truth that of step {manifest['step']}")
        theirs = manifest["run"] or {}
        if self._mark is not None:
            apart = digests.first_difference({**self._mark, "id": self._mark.get("id")}, {"id": None, **theirs})
            if apart is not None:
                raise RunError(f"it is of another run: its {apart} differs")
        return manifest

    def _json(self, step: int, part: str) -> dict[str, Any]:
        path = self._path(step) / part / "metadata"
        try:
            if not path.is_file():
                raise RunError(f"it is not whole: its {part} is missing")
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"its {part} cannot be read: {_first_line(error)}") from error
        if not isinstance(values, dict):
            raise RunError(f"its {part} cannot be read: it is no JSON object")
        return values

    def _state(self, step: int, like: Any, partly: bool) -> Any:
        path = self._path(step) / "state"
        if not path.is_dir():
            raise RunError("it is not whole: its state is missing")
        # Zeros, for Orbax prints the target in its errors.
        target = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        try:
            if partly:
                some: Any = ocp.args.PyTreeRestore(item=target, partial_restore=True)  # pyright: ignore
                return ocp.PyTreeCheckpointHandler().restore(path, args=some)  # pyright: ignore
            handler = ocp.StandardCheckpointHandler()
            return handler.restore(path, args=ocp.args.StandardRestore(target))  # pyright: ignore
        except Exception as error:  # damaged files raise whatever the parser that met them raises
            raise RunError(f"its state cannot be read: {_first_line(error)}") from error


class _Keep:
    """Orbax's policy: the newest, and the best that each of them knows of."""

    def __init__(self, best: Mapping[int, int | None]):
        self._best = best

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        del context
        newest = [checkpoint.step for checkpoint in checkpoints][-_KEPT:]
        kept = {*newest, *(self._best.get(step) for step in newest)}
        return [checkpoint.step in kept for checkpoint in checkpoints]


def check_folder(folder: Path) -> None:
    """Makes the folder of checkpoints; raises SaveError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"a checkpoint cannot be written to {folder}: {error.strerror or error}") from error


@functools.cache
def _quiet_threads() -> None:
    """Keeps to itself what Orbax's threads raise: it is raised again where one waits for them, and a traceback of each
    says nothing more. That a reading which failed closed its loop is no news either.
    """
    in_thread, unraisable = threading.excepthook, sys.unraisablehook

    def of_orbax(error: Any, trace: Any) -> bool:
        names = [Path(frame.filename).parts for frame in traceback.extract_tb(trace)]
        return any("orbax" in parts or "tensorstore" in parts for parts in names) or "Event loop is closed" in str(
            error
        )

    def thread_failed(arguments: Any) -> None:
        if not of_orbax(arguments.exc_value, arguments.exc_traceback):
            in_thread(arguments)

    def not_raised(arguments: Any) -> None:
        if not of_orbax(arguments.exc_value, arguments.exc_traceback):
            unraisable(arguments)

    threading.excepthook, sys.unraisablehook = thread_failed, not_raised


def _check_shapes(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for path in sorted(set(theirs) | set(ours)):
        pair = [tree.get(path) and f"{tree[path]['dtype']} {tuple(tree[path]['shape'])}" for tree in (theirs, ours)]
        if pair[0] != pair[1]:
            raise RunError(f"its array {path} is {pair[0] or 'missing'} where the model has {pair[1] or 'none'}")


def _suffixes() -> Any:
    yield ""
    yield from (f"-{number}" for number in range(1, 10_000))


def _first_line(error: BaseException) -> str:
    lines = (str(error) or type(error).__name__).splitlines()
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]} ..."

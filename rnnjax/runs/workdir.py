"""Work folders: what lies where in the folder of one run, whose it is, and who may write to it."""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnjax import digests, terminal
from rnnjax.config import Config
from rnnjax.config.run import Kinds, UnknownPart
from rnnjax.errors import RnnjaxError, RunError, UsageError
from rnnjax.experiment import KINDS
from rnnjax.files import ASIDE, read_json, write_text
from rnnjax.runs import changes, init_record
from rnnjax.runs.locks import exclusively
from rnnjax.runs.record import Run


@dataclass(frozen=True)
class WorkDir:
    """Paths of one run.

    Attributes:
      root: its folder.
      kinds: the classes that sections of its configuration may be of: this package's, or those of an experiment.
    """

    root: Path
    kinds: Kinds = field(default_factory=lambda: KINDS)

    @property
    def config(self) -> Path:
        """Experiment, seed and configuration."""
        return self.root / "config.json"

    @property
    def preprocess(self) -> Path:
        """From raw input to the model's."""
        return self.root / "preprocess.json"

    @property
    def data(self) -> Path:
        """What was understood of the data, as it is said at the start."""
        return self.root / "data.txt"

    @property
    def checkpoints(self) -> Path:
        """The two newest checkpoints and the best."""
        return self.root / "checkpoints"

    @property
    def damaged(self) -> Path:
        """Checkpoints that were set aside since they could not be used."""
        return self.root / "damaged"

    @property
    def metrics(self) -> Path:
        """One JSON object an epoch."""
        return self.root / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.root / "tensorboard"

    @property
    def profile(self) -> Path:
        """Traces of a few steps each, by ``--train.profile``."""
        return self.root / "profile"

    @property
    def curves(self) -> Path:
        """Loss and headline metric by epoch."""
        return self.root / "curves.png"

    @property
    def result(self) -> Path:
        """There once the run is finished."""
        return self.root / "result.json"

    def report(self, split: str) -> Path:
        """What the task reports of the best checkpoint: of classes, each by itself and the confusion matrix."""
        return self.root / f"report-{split}.json"

    def figure(self, name: str, split: str) -> Path:
        """A picture of a split, such as its confusion matrix."""
        return self.root / f"{name}-{split}.png"

    def mistakes(self, split: str) -> Path:
        """The worst answers of a split, a row each."""
        return self.root / f"mistakes-{split}.csv"

    @property
    def samples(self) -> Path:
        """Inputs to try prediction on."""
        return self.root / "samples"

    def finished(self, *, tested: bool = False, epochs: int | None = None) -> dict[str, Any] | None:
        """The result, if the run is finished, and where that is asked for, on the test split too.

        Args:
          tested: whether a result on validation alone is none.
          epochs: of the run as it is wanted now; a result of another number is none, and kept until there is another.

        A file that is no whole result is none: the run is taken up where its checkpoints end, and writes another.
        """
        try:
            result, run = read_json(self.result, "a result"), self.read_run()
        except (UsageError, RunError):
            return None
        if not _is_result(result, run):
            terminal.note(f"{self.result} is no whole result of this run; it is made again")
            return None
        untested = result["metrics"]["test"] is None and "test" in self.read_run().data
        length = result.get("config", {}).get("train", {}).get("epochs", epochs)
        return None if (tested and untested) or epochs not in (None, length) else result

    def read_run(self) -> Run:
        """The run in this folder.

        Raises:
          UsageError: if there is none in it, or its record cannot be read, or is not as it was written.
        """
        if not self.config.is_file():
            raise UsageError(f"{self.root} holds no run (there is no {self.config.name} in it); train one first")
        try:
            return Run.from_json(read_json(self.config, "a configuration"), self.kinds)
        except UnknownPart as error:
            raise UsageError(f"{self.config}: {error}") from error
        except (RnnjaxError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"{self.config}: not a readable configuration ({_said(error)}); the command that trained it mends it"
            ) from error

    def read_config(self) -> tuple[str, int, Config]:
        """The experiment's name, the seed and the configuration of the run here; raises as :meth:`read_run`."""
        run = self.read_run()
        return run.experiment, run.seed, run.config


def _said(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error).splitlines()[0]


def _is_result(result: Mapping[str, Any], run: Run) -> bool:
    if run.digested and (result.get("run") != run.id or not digests.is_whole(result)):
        return False
    try:
        metrics, seconds = result["metrics"], result["seconds"]
        values = [*metrics["validation"].values(), seconds["wall"], seconds["compile"], result["epochs"]]
        values += [] if metrics["test"] is None else metrics["test"].values()
        return all(isinstance(value, int | float) for value in values) and {"best_epoch", "experiment", "seed"} <= set(
            result
        )
    except (KeyError, TypeError):
        return False


@contextlib.contextmanager
def locked(workdir: WorkDir) -> Iterator[Callable[[], None]]:
    """Makes a work folder, and holds it for this process alone until the block ends.

    Yields:
      A function that raises RunError if the folder was moved or deleted since.

    Raises:
      UsageError: if it is a file, or holds something that is no run.
      RunError: if another process holds it, or it cannot be written.
    """
    root = workdir.root
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file; a run needs a folder")
    with contextlib.ExitStack() as stack:
        try:
            if not workdir.config.exists() and _holds_something_else(root):
                raise UsageError(f"{root} holds files but no run (no {workdir.config.name}); name another folder")
            check_path(workdir.root)
            root.mkdir(parents=True, exist_ok=True)
            _check_kinds(workdir)
            held = stack.enter_context(exclusively(root / ".lock", f"{root}: a training is at work there"))
            _replace_links(workdir)
            _clear_leavings(workdir)
        except OSError as error:
            raise cannot_write(root, error) from error

        def check() -> None:
            if not held():
                raise RunError(
                    f"the work folder {root} was moved or deleted while it was trained in; what is saved in it is "
                    "kept, and the same command resumes where it lies"
                )

        yield check


def check_path(root: Path) -> None:
    """Refuses a folder whose checkpoints could not be read back.

    Raises:
      UsageError: if its path holds a character that Orbax takes for a pattern, or one that is no Unicode.
    """
    path = str(root.absolute())
    wrong = [repr(character)[1:-1] for character in "[]\\" if character in path]
    wrong += ["a byte that is no UTF-8 (or is read as none, see LC_ALL)"] * (not _encodable(path))
    if wrong:
        raise UsageError(
            f"{root}: checkpoints below a path with {' or '.join(wrong)} could not be read again; "
            "use another --runs-dir"
        )


def _encodable(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_kinds(workdir: WorkDir) -> None:
    """Raises RunError where a folder, a pipe or a link stands where a run needs a file; better now than at its end."""
    for path in (workdir.root / ".lock", workdir.config, workdir.preprocess, workdir.result):
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise RunError(f"{path} is no regular file, and a run needs one there; move it away")
    for path in (workdir.checkpoints, workdir.damaged, workdir.samples):
        if os.path.lexists(path) and not path.is_dir():
            raise RunError(f"{path} is no folder, and a run needs one there; move it away")


def _replace_links(workdir: WorkDir) -> None:
    """Removes links from where a run writes: what they lead to is not ours to change."""
    for path in (workdir.metrics, workdir.damaged, workdir.samples, workdir.tensorboard, workdir.profile):
        if path.is_symlink():
            path.unlink()


def cannot_write(root: Path, error: OSError) -> RunError:
    """The error of a work folder that cannot be written."""
    return RunError(f"the work folder {root} cannot be written: {error.strerror or error}")


_OLD = ".old-"
"""How the name of a folder begins into which a run is moved to be deleted."""


def _holds_something_else(root: Path) -> bool:
    """Whether a folder without a record holds more than what a killed session left of its own."""
    if not root.is_dir():
        return False
    names = [entry.name for entry in root.iterdir()]
    ours = any(name.startswith(_OLD) for name in names)  # a run that was half deleted
    return not ours and any(name != ".lock" and not name.startswith(ASIDE) for name in names)


def _clear_leavings(workdir: WorkDir) -> None:
    """Removes what killed sessions left: files written aside, checkpoints half written, a run half deleted."""
    half_deleted = not workdir.config.exists() and any(workdir.root.glob(f"{_OLD}*"))
    rest = [entry for entry in workdir.root.iterdir() if entry.name != ".lock"] if half_deleted else []
    patterns = (f"{ASIDE}*", f"samples/{ASIDE}*", f"{_OLD}*", "checkpoints/*.orbax-checkpoint-tmp*")
    for left in [*rest, *(found for pattern in patterns for found in workdir.root.glob(pattern))]:
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def open_run(workdir: WorkDir, ours: Run, *, marks: Sequence[Mapping[str, Any]] = (), fresh: bool = False) -> Run:
    """Takes up the run in a locked folder, or begins one; its record is written.

    Args:
      workdir: the folder; :func:`locked` is held.
      ours: what is to run; its ``id`` is the folder's, where there is a run, and else drawn here.
      marks: what the checkpoints that lie there say of the run that they are of, see :meth:`Run.mark`.
      fresh: delete the run that is there.

    Raises:
      UsageError: if it holds another run, or this one on other data, or one from before a change of meaning, or its
        record cannot be read and no checkpoint says that it is this run.
      RunError: if it cannot be written.
    """
    try:
        if not workdir.config.exists() or fresh:
            _empty(workdir)
            ours = dataclasses.replace(ours, id=uuid.uuid4().hex)
        else:
            theirs = _recorded(workdir, ours, marks)
            refuse_another(workdir, ours, theirs)
            ours = ours.taken_up(theirs)
        write_text(workdir.config, json.dumps(ours.to_json(), indent=2) + "\n")
    except OSError as error:
        raise cannot_write(workdir.root, error) from error
    return ours


def _recorded(workdir: WorkDir, ours: Run, marks: Sequence[Mapping[str, Any]]) -> Run:
    """The run that a folder's record names; of a damaged record, ours, where a checkpoint says that it is that."""
    try:
        return workdir.read_run()
    except UsageError as error:
        for mark in marks:
            same = ours.marked(mark)
            if init_record.difference(ours.init_from, same.init_from):
                continue
            if digests.first_difference(json.loads(json.dumps(same.mark())), mark) is None:
                terminal.note(f"{error.args[0].split(';')[0]}; its checkpoints are of this run, so it is written anew")
                return same
        raise


def _empty(workdir: WorkDir) -> None:
    """Deletes a run; what is half deleted when the machine falls is no run any more."""
    if not workdir.config.exists():
        return
    if not workdir.checkpoints.is_dir():  # else it is ours, whatever happened to its record
        workdir.read_run()  # a folder with another program's config.json is never touched
    aside = Path(tempfile.mkdtemp(prefix=_OLD, dir=workdir.root))
    for entry in [workdir.config, *workdir.root.iterdir()]:
        if entry.name != ".lock" and entry != aside and os.path.lexists(entry):
            entry.replace(aside / entry.name)
    shutil.rmtree(aside, ignore_errors=True)


def refuse_another(workdir: WorkDir, ours: Run, theirs: Run) -> None:
    """Raises UsageError if the run in a folder is not ours, or is ours on other data or from another meaning."""
    moved = ours.other_places(theirs)
    if differences := ours.differences(theirs):
        _refuse_differences(workdir, [*moved, *differences])
    if changed := changes.since(theirs.version, theirs.config):
        raise UsageError(
            f"{workdir.root} was trained before a change of meaning: {'; '.join(changed)}. "
            "Use --fresh to train it anew, or another --runs-dir"
        )
    if other := ours.other_data(theirs):
        differ = f"{' and '.join(other)} differ{'s' * (len(other) == 1)}"
        raise UsageError(
            f"{workdir.root} was trained on other data than these are now: its {', '.join([differ, *moved])}; "
            "use the same data, --fresh to start over, or another --runs-dir"
        )
    _refuse_differences(workdir, ours.other_module(theirs))


def _refuse_differences(workdir: WorkDir, differences: Sequence[str]) -> None:
    if differences:
        listed = "".join(f"\n  {line}" for line in differences)
        raise UsageError(
            f"{workdir.root} holds a run of another configuration:{listed}\n"
            "use the same configuration to resume it, --fresh to delete it, or another --runs-dir"
        )

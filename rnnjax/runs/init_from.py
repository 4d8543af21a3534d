"""A run that begins from another run's weights (``--init-from``): what is asked for, and what is taken."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax import terminal
from rnnjax.errors import RnnjaxError, RunError, UsageError
from rnnjax.runs.init_record import described, shown
from rnnjax.runs.source import Source, read_source, tokens_of
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from rnnjax.training.state import TrainState
from rnnjax.training.transfer import Tokens, Transfer, begun, shapes, transfer

_CHECKPOINTS = ("best", "latest")


class Asked(NamedTuple):
    """Where a run is to begin.

    Attributes:
      folder: the work folder of another run.
      checkpoint: ``best`` or ``latest``.
      parts: regular expressions of which one must be found in a parameter's path; none: all that fits is taken.
    """

    folder: Path
    checkpoint: str
    parts: tuple[str, ...]


def asked(init_from: str | Path | None, init_parts: Sequence[str] = ()) -> Asked | None:
    """Reads ``WORKDIR[:best|:latest]``; raises UsageError where parts are given and no folder."""
    if isinstance(init_parts, str):
        raise UsageError(f"init_parts must be a list of patterns, such as [{init_parts!r}]")
    given = tuple(init_parts) if isinstance(init_parts, Iterable) else (init_parts,)
    if not all(isinstance(part, str) for part in given):
        raise UsageError(f"init_parts must be a list of patterns, got {init_parts!r:.80}")
    if init_from is None:
        if given:
            raise UsageError("--init-parts says what is taken of another run: give its work folder by --init-from")
        return None
    text = str(init_from)
    folder, _, checkpoint = text.rpartition(":")
    if checkpoint not in _CHECKPOINTS or not folder:
        folder, checkpoint = text, "best"
    return Asked(Path(folder), checkpoint, given)


@dataclass(frozen=True)
class Beginning:
    """How a run begins: from fresh parameters, or with another run's.

    Attributes:
      record: what is taken of which run, as JSON, for the run's own record; None: nothing.
      source, chosen, tokens: what was read there, what of it is taken, and what ids stand for there and here.
      refusal: why nothing could be read; it matters only where nothing of the run was saved yet.
    """

    record: dict[str, Any] | None = None
    source: Source | None = None
    chosen: Transfer | None = None
    tokens: tuple[Tokens, Tokens] = (Tokens(), Tokens())
    refusal: RnnjaxError | None = None

    def state(self, fresh: TrainState, optimizer: Any) -> TrainState:
        """The state that a run begins with, on the host."""
        if self.refusal is not None:
            raise self.refusal
        if self.source is None or self.chosen is None:
            return fresh
        return begun(fresh, self.chosen, self.source.variables, self.tokens, optimizer)

    def lines(self, program: Runner) -> list[str]:
        """What is taken and what is not, a line a module."""
        if self.record is None or self.source is None or self.chosen is None:
            return []
        names, spec = self.source.names, program.dataset.spec
        said = shown(self.record, shapes(program.variables))
        if names and spec.names and names != spec.names and len(names) == len(spec.names):
            there = ", ".join(names)[:80]
            said.append(f"  as many classes there, and others ({there}): to begin with a fresh head, see --init-parts")
        return said


def beginning(wanted: Asked | None, workdir: WorkDir, program: Runner, fresh: bool) -> Beginning:
    """How a run in a work folder begins; every host says so, or each raises.

    Args:
      wanted: what was asked for.
      workdir: of the run that begins, or goes on.
      program: of that run.
      fresh: whether the run that is there is to be deleted.

    Raises:
      UsageError: if the other folder is the same, holds no run or nothing that fits.
      RunError: if what it holds is damaged. Both only where no run is there that has begun already.
    """
    if wanted is None:
        return Beginning()
    refusal: RnnjaxError | None = None
    made = Beginning()
    try:
        made = _beginning(wanted, workdir, program, fresh)
    except RnnjaxError as error:
        refusal = error
    if program.parallel.any_process(refusal is not None):
        raise refusal or RunError("another host cannot begin from --init-from; see its message")
    return made


def _beginning(wanted: Asked, workdir: WorkDir, program: Runner, fresh: bool) -> Beginning:
    if wanted.folder.resolve() == workdir.root.resolve():
        raise UsageError(f"--init-from: {wanted.folder} is the work folder of the run itself; give that of another")
    preprocess = program.dataset.preprocess.to_json()
    ours, variables = tokens_of(preprocess, program.dataset.spec.vocabulary), program.variables
    try:
        source = read_source(wanted.folder, wanted.checkpoint)
    except RnnjaxError as error:
        begun_here = not fresh and Checkpoints(workdir.checkpoints).steps()
        recorded = _recorded(workdir) if begun_here else None
        if recorded is None:
            raise
        terminal.note(
            f"{str(error).split(';')[0]}; the run in {workdir.root}, which began from {described(recorded)}, goes on "
            "without it"
        )
        return Beginning({**recorded, "parts": list(wanted.parts)}, refusal=error)
    tokens = (source.tokens, ours)
    chosen = transfer(shapes(source.variables), shapes(variables), wanted.parts, tokens)
    return Beginning({**source.said, "parts": list(wanted.parts), **chosen.to_json()}, source, chosen, tokens)


def _recorded(workdir: WorkDir) -> dict[str, Any] | None:
    """What the run in a folder began from, as its record says, or where that is damaged, its checkpoints."""
    try:
        record = workdir.read_run().init_from
        return None if record is None else dict(record)
    except UsageError:
        marks = Checkpoints(workdir.checkpoints).marks()
        return next((mark["init_from"] for mark in marks if mark.get("init_from")), None)

"""A run that begins from another run's weights (``--init-from``): what is asked for, and what is taken."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax import terminal
from rnnjax.errors import RnnjaxError, RunError, UsageError
from rnnjax.runs.init_language import check_layers, check_reads_alike, check_widths
from rnnjax.runs.init_record import described, shown
from rnnjax.runs.source import Source, read_source, tokens_of
from rnnjax.runs.workdir import WorkDir
from rnnjax.training.checkpoint import Checkpoints
from rnnjax.training.runner import Runner
from rnnjax.training.state import TrainState
from rnnjax.training.transfer import Tokens, Transfer, begun, shapes, transfer

_CHECKPOINTS = ("best", "latest")


_NAMED = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)


class Place(NamedTuple):
    """A run whose weights are taken.

    Attributes:
      folder: its work folder.
      checkpoint: ``best`` or ``latest``.
      module: the name of the module here that takes them, as if it were the whole model; empty: the whole model does.
    """

    folder: Path
    checkpoint: str
    module: str = ""


class Asked(NamedTuple):
    """Where a run is to begin.

    Attributes:
      places: of other runs, one, or one a module.
      parts: regular expressions of which one must be found in a parameter's path; none: all that fits is taken.
    """

    places: tuple[Place, ...]
    parts: tuple[str, ...]


def asked(init_from: str | Path | Sequence[str | Path] | None, init_parts: Sequence[str] = ()) -> Asked | None:
    """Reads ``WORKDIR[:best|:latest]``, or some ``MODULE=WORKDIR[:best|:latest]``.

    Raises:
      UsageError: where parts are given and no folder, or several folders of which one has no module, or one's that
        another has.
    """
    if isinstance(init_parts, str):
        raise UsageError(f"init_parts must be a list of patterns, such as [{init_parts!r}]")
    given = tuple(init_parts) if isinstance(init_parts, Iterable) else (init_parts,)
    if not all(isinstance(part, str) for part in given):
        raise UsageError(f"init_parts must be a list of patterns, got {init_parts!r:.80}")
    texts = [init_from] if isinstance(init_from, str | Path) else list(init_from or ())
    if not texts:
        if given:
            raise UsageError("--init-parts says what is taken of another run: give its work folder by --init-from")
        return None
    places = tuple(map(_place, texts))
    modules = [place.module for place in places]
    if len(places) > 1 and ("" in modules or len(set(modules)) < len(modules)):
        raise UsageError(
            "--init-from: of several runs each fills a module of its own, as in forwards=RUNS/one backwards=RUNS/two; "
            f"got {' '.join(map(str, texts))}"
        )
    return Asked(places, given)


def _place(given: str | Path) -> Place:
    text, module = str(given), ""
    named = _NAMED.fullmatch(text)
    if named and not Path(text).exists():
        module, text = named[1], named[2]
    folder, _, checkpoint = text.rpartition(":")
    if checkpoint not in _CHECKPOINTS or not folder:
        folder, checkpoint = text, "best"
    return Place(Path(folder), checkpoint, module)


def check_places(wanted: Asked | None, begins: Collection[str], roots: Sequence[Path], *, fresh: bool) -> None:
    """What can be said of the places before any data are read.

    Args:
      wanted: what was asked for.
      begins: modules that are to begin from others' weights.
      roots: work folders of the runs that are to begin; one that has begun already needs no other.
      fresh: whether runs that are there are to be deleted.

    Raises:
      UsageError: if modules are named and one of those is not, or a folder that is needed does not exist.
    """
    if wanted is None:
        return
    named = {place.module for place in wanted.places} - {""}
    # A module that there is none of is told later, with those that there are.
    if missing := [module for module in begins if named and named <= {*begins} and module not in named]:
        given = " ".join(f"{module}=FOLDER" for module in missing)
        raise UsageError(
            f"--init-from names runs for {', '.join(sorted(named))} alone, and {', '.join(missing)} would begin fresh; "
            f"give {given} too"
        )
    begun_there = [not fresh and Checkpoints(WorkDir(root).checkpoints).steps() for root in roots]
    if roots and all(begun_there):
        return
    for place in wanted.places:
        if not place.folder.exists():
            raise UsageError(f"--init-from: {place.folder} does not exist; give the work folder of a run")


class Taken(NamedTuple):
    """What is taken of one run.

    Attributes:
      source, chosen, tokens: what was read there, what of it is taken, and what ids stand for there and here.
      record: the same as JSON, for the run's own record.
    """

    source: Source
    chosen: Transfer
    tokens: tuple[Tokens, Tokens]
    record: dict[str, Any]


@dataclass(frozen=True)
class Beginning:
    """How a run begins: from fresh parameters, or with other runs'.

    Attributes:
      record: what is taken of which run, as JSON, for the run's own record, further runs under ``also``; None: nothing.
      taken: of each run.
      refusal: why nothing could be read; it matters only where nothing of the run was saved yet.
    """

    record: dict[str, Any] | None = None
    taken: tuple[Taken, ...] = ()
    refusal: RnnjaxError | None = None

    def state(self, fresh: TrainState, optimizer: Any) -> TrainState:
        """The state that a run begins with, on the host."""
        if self.refusal is not None:
            raise self.refusal
        for source, chosen, tokens, _ in self.taken:
            fresh = begun(fresh, chosen, source.variables, tokens, optimizer)
        return fresh

    def lines(self, program: Runner) -> list[str]:
        """What is taken and what is not, a line a module."""
        said = []
        for source, _, _, record in self.taken:
            names, spec = source.names, program.dataset.spec
            said += shown(record, shapes(program.variables))
            written = program.experiment.task.writes  # its names are tokens, of which a line above says the rows
            if names and spec.names and names != spec.names and len(names) == len(spec.names) and not written:
                there = ", ".join(names)[:80]
                said.append(
                    f"  as many classes there, and others ({there}): to begin with a fresh head, see --init-parts"
                )
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
    for place in wanted.places:
        if place.folder.resolve() == workdir.root.resolve():
            raise UsageError(f"--init-from: {place.folder} is the work folder of the run itself; give that of another")
    try:
        sources = [read_source(place.folder, place.checkpoint) for place in wanted.places]
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
    taken = [_taken(source, place, wanted.parts, program) for source, place in zip(sources, wanted.places, strict=True)]
    first, *others = [each.record for each in taken]
    return Beginning(first | ({"also": others} if others else {}), tuple(taken))


def _taken(source: Source, place: Place, parts: tuple[str, ...], program: Runner) -> Taken:
    """What of a run's weights is taken, by the whole model or by a module of it."""
    module, models = place.module, getattr(program.experiment.model, "language_models", {})
    ours = shapes(program.variables)
    said: dict[str, Any] = {**source.said, "parts": list(parts)}
    if module:
        inside = {path: shape for path, shape in ours.items() if path.split("/")[1] == module}
        if not inside:
            known = ", ".join(dict.fromkeys(path.split("/")[1] for path in ours))
            raise UsageError(f"--init-from: the model has no module {module}; its modules are {known}")
        ours, said["module"] = inside, module
        variables = {name: {module: collection} for name, collection in source.variables.items()}
        source = dataclasses.replace(source, variables=variables)
    here = tokens_of(program.dataset.preprocess.to_json(), program.dataset.spec.vocabulary)
    where = f"{module}={place.folder}"
    if module in models:
        check_reads_alike(where, models[module], source, here)
    chosen = transfer(shapes(source.variables), ours, parts, (source.tokens, here))
    if module in models:
        check_widths(where, chosen, (source.tokens, here))
        if not parts:
            check_layers(where, chosen)
    return Taken(source, chosen, (source.tokens, here), {**said, **chosen.to_json()})


def _recorded(workdir: WorkDir) -> dict[str, Any] | None:
    """What the run in a folder began from, as its record says, or where that is damaged, its checkpoints."""
    try:
        record = workdir.read_run().init_from
        return None if record is None else dict(record)
    except UsageError:
        marks = Checkpoints(workdir.checkpoints).marks()
        return next((mark["init_from"] for mark in marks if mark.get("init_from")), None)

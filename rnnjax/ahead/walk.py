"""Where a program's computations run: which loops stand around each, and how often a call of the program runs it."""

import dataclasses
from collections.abc import Iterator

from rnnjax.ahead.program import Computation, Instruction, Program, names
from rnnjax.ahead.trips import Frame, trip_count


@dataclasses.dataclass(frozen=True)
class Visit:
    """One place from which a computation runs.

    Attributes:
      frame: the computation that runs, and from where.
      loops: names of the ``while`` instructions around it, the outermost first.
      trips: of the innermost of them; None if unknown, or if there is none.
      runs: how often a call of the program runs it from here; None if unknown.
      conditional: whether it stands in a branch, so that ``runs`` is the most that it can be.
    """

    frame: Frame
    loops: tuple[str, ...]
    trips: int | None
    runs: int | None
    conditional: bool

    @property
    def computation(self) -> Computation:
        """The computation that runs."""
        return self.frame.computation

    @property
    def loop(self) -> Instruction | None:
        """The ``while`` of which it is the body; None if it is none's."""
        caller = self.frame.caller
        if caller is None or caller.opcode != "while":
            return None
        return caller if names(caller.attributes["body"]) == [self.computation.name] else None


def visits(program: Program) -> Iterator[Visit]:
    """Every place from which a computation runs, fusions and combiners apart, outer ones before those in them."""
    yield from _below(program, Visit(Frame(program.entry), (), None, 1, False))


def _below(program: Program, visit: Visit) -> Iterator[Visit]:
    yield visit
    for instruction in visit.computation:
        if instruction.opcode == "while":
            yield from _loop(program, visit, instruction)
        elif instruction.operation in ("call", "async", "conditional"):
            called = instruction.called() + instruction.branches()
            conditional = visit.conditional or instruction.opcode == "conditional"
            for name in called:
                frame = Frame(program.computations[name], instruction, visit.frame)
                yield from _below(program, dataclasses.replace(visit, frame=frame, conditional=conditional))


def _loop(program: Program, visit: Visit, loop: Instruction) -> Iterator[Visit]:
    trips = trip_count(program, visit.frame, loop)
    around = (*visit.loops, loop.name)
    for part, more in (("condition", 1), ("body", 0)):
        runs = None if trips is None or visit.runs is None else (trips + more) * visit.runs
        frame = Frame(program.part(loop, part), loop, visit.frame)
        yield from _below(program, Visit(frame, around, trips, runs, visit.conditional))

"""Where a program's computations run: which loops stand around each, and how often a call of the program runs it."""

import dataclasses
from collections.abc import Iterator

from rnnjax.ahead.program import Computation, Instruction, Program
from rnnjax.ahead.trips import trip_count


@dataclasses.dataclass(frozen=True)
class Visit:
    """One place from which a computation runs.

    Attributes:
      computation: that runs.
      caller: the instruction that runs it; None for the entry.
      loops: names of the ``while`` instructions around it, the outermost first.
      trips: of the innermost of them; None if unknown, or if there is none.
      runs: how often a call of the program runs it from here; None if unknown.
      conditional: whether it stands in a branch, so that ``runs`` is the most that it can be.
    """

    computation: Computation
    caller: Instruction | None
    loops: tuple[str, ...]
    trips: int | None
    runs: int | None
    conditional: bool

    @property
    def is_body(self) -> bool:
        """Whether it is the body of a loop."""
        if self.caller is None or self.caller.opcode != "while":
            return False
        return self.caller.attributes["body"].lstrip("%") == self.computation.name


def visits(program: Program) -> Iterator[Visit]:
    """Every place from which a computation runs, fusions and combiners apart, outer ones before those in them."""
    yield from _below(program, Visit(program.entry, None, (), None, 1, False))


def _below(program: Program, visit: Visit) -> Iterator[Visit]:
    yield visit
    for instruction in visit.computation:
        if instruction.opcode == "while":
            yield from _loop(program, visit, instruction)
        elif instruction.operation in ("call", "async", "conditional"):
            called = instruction.called() + instruction.branches()
            conditional = visit.conditional or instruction.opcode == "conditional"
            for name in called:
                inner = dataclasses.replace(
                    visit, computation=program.computations[name], caller=instruction, conditional=conditional
                )
                yield from _below(program, inner)


def _loop(program: Program, visit: Visit, loop: Instruction) -> Iterator[Visit]:
    trips = trip_count(program, visit.computation, loop)
    around = (*visit.loops, loop.name)
    for part, more in (("condition", 1), ("body", 0)):
        runs = None if trips is None or visit.runs is None else (trips + more) * visit.runs
        inner = program.computations[loop.attributes[part].lstrip("%")]
        yield from _below(program, Visit(inner, loop, around, trips, runs, visit.conditional))

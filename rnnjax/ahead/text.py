"""What a compiled program's text says of its loops and of what its devices exchange."""

import collections
import dataclasses

from rnnjax.ahead.collectives import Collective, collectives_of
from rnnjax.ahead.copies import WholeCopy, whole_copies
from rnnjax.ahead.kernels import SCALAR, Kernel, kernels
from rnnjax.ahead.program import Instruction, Program, parse
from rnnjax.ahead.walk import Visit, visits

__all__ = ["Collective", "Kernel", "Loop", "WholeCopy", "collectives", "loops"]


@dataclasses.dataclass(frozen=True)
class Loop:
    """One ``while`` of a program.

    Attributes:
      name: of the instruction.
      body: the computation of one iteration.
      trips: iterations each time it is reached; None if the text does not say.
      runs: iterations in one call of the program, those of the loops around it multiplied in; None if unknown.
      depth: 0 for a loop that stands in no other.
      parent: the name of the loop around it; None at depth 0.
      kernels: what one iteration launches, without loops inside it and without the condition, which a GPU's
        host does not evaluate where the trips are known.
      copies: what copies a whole sequence at each step, as :mod:`rnnjax.ahead.copies` defines it.
      op_name: where it comes from in the traced function; the kernels' where the loop itself does not say it.
      source: ``file:line`` there; empty if unknown.
    """

    name: str
    body: str
    trips: int | None
    runs: int | None
    depth: int
    parent: str | None
    kernels: tuple[Kernel, ...]
    copies: tuple[WholeCopy, ...]
    op_name: str
    source: str

    @property
    def launches(self) -> int:
        """Kernels of one iteration; single numbers' arithmetic is none."""
        return sum(kernel.kind != SCALAR for kernel in self.kernels)

    @property
    def counts(self) -> dict[str, int]:
        """Kernels of one iteration by kind."""
        return dict(collections.Counter(kernel.kind for kernel in self.kernels))

    @property
    def backward(self) -> bool:
        """Whether most of its kernels that say where they come from are of a backward pass."""
        named = [kernel.backward for kernel in self.kernels if kernel.op_name]
        return 2 * sum(named) > len(named) if named else "transpose(" in self.op_name


def loops(text: str) -> list[Loop]:
    """Every loop of a compiled program, in the order in which they are reached, an outer one before those in it.

    Args:
      text: ``compiled.as_text()``, of CPU, GPU or TPU.

    Raises:
      DataError: if it is not the whole text of a compiled program.
    """
    program = parse(text)
    found = [_loop(program, visit, visit.loop) for visit in visits(program) if visit.loop]
    return [dataclasses.replace(loop, copies=_own_copies(loop, found)) for loop in found]


def collectives(text: str) -> list[Collective]:
    """Every collective operation of a compiled program, as :func:`rnnjax.ahead.collectives.collectives_of` counts.

    Args:
      text: ``compiled.as_text()``, of CPU, GPU or TPU.

    Raises:
      DataError: if it is not the whole text of a compiled program.
    """
    return collectives_of(parse(text))


def _own_copies(loop: Loop, found: list[Loop]) -> tuple[WholeCopy, ...]:
    """The loop's copies but for those of a loop right inside it, which has them too."""
    inside = {copy.name for inner in found if inner.parent == loop.name for copy in inner.copies}
    return tuple(copy for copy in loop.copies if copy.name not in inside)


def _loop(program: Program, visit: Visit, caller: Instruction) -> Loop:
    launched = tuple(kernels(program, visit.computation))
    named = [kernel for kernel in launched if kernel.op_name]
    op_name, source = caller.op_name, program.source(caller)
    if not op_name and named:
        op_name, source = named[0].op_name, named[0].source
    return Loop(
        name=caller.name,
        body=visit.computation.name,
        trips=visit.trips,
        runs=visit.runs,
        depth=len(visit.loops) - 1,
        parent=visit.loops[-2] if len(visit.loops) > 1 else None,
        kernels=launched,
        copies=tuple(whole_copies(program, visit.computation, visit.trips)),
        op_name=op_name,
        source=source,
    )

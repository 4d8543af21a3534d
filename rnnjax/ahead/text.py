"""What a compiled program's text says of its loops and of what its devices exchange."""

import collections
import dataclasses

from rnnjax.ahead.kernels import SCALAR, Kernel, kernels
from rnnjax.ahead.program import Computation, Program, parse
from rnnjax.ahead.trips import trip_count


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
    found: list[Loop] = []
    _loops(program, program.entry, None, 1, found)
    return found


def _loops(program: Program, where: Computation, parent: Loop | None, runs: int | None, found: list[Loop]) -> None:
    """Adds the loops of ``where``, of which one call of the program makes ``runs`` runs."""
    for instruction in where:
        inside = parent, runs
        if instruction.opcode == "while":
            loop = _loop(program, where, instruction, parent, runs)
            found.append(loop)
            inside, called = (loop, loop.runs), [loop.body]
        elif instruction.opcode == "conditional":
            called = instruction.branches()
        elif instruction.opcode in ("call", "async-start"):
            called = instruction.called()
        else:
            continue
        for name in called:
            _loops(program, program.computations[name], *inside, found)


def _loop(program, where, instruction, parent: Loop | None, runs: int | None) -> Loop:
    trips = trip_count(program, where, instruction)
    body = program.computations[instruction.attributes["body"].lstrip("%")]
    launched = tuple(kernels(program, body))
    named = [kernel for kernel in launched if kernel.op_name]
    op_name, source = instruction.op_name, program.source(instruction)
    if not op_name and named:
        op_name, source = named[0].op_name, named[0].source
    return Loop(
        name=instruction.name,
        body=body.name,
        trips=trips,
        runs=None if trips is None or runs is None else trips * runs,
        depth=0 if parent is None else parent.depth + 1,
        parent=None if parent is None else parent.name,
        kernels=launched,
        op_name=op_name,
        source=source,
    )

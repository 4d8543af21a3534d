"""What the devices that run a program exchange: its collective operations, their bytes, and how often they run."""

import dataclasses
import re

from rnnjax.ahead.program import Computation, Instruction, Program
from rnnjax.ahead.shapes import Shape
from rnnjax.ahead.walk import Visit, visits

_KINDS = (
    "all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "ragged-all-to-all",
    "collective-broadcast",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation of a program.

    Attributes:
      name: of the instruction.
      kind: ``all-reduce``, ``all-gather``, ``all-to-all``, ``collective-permute``, ``reduce-scatter``,
        ``ragged-all-to-all``, ``collective-broadcast``, or ``send`` for one half of a transfer between two devices.
      shape: of its result on one device.
      bytes: of that result, of all arrays of a tuple together; one execution.
      group: number of devices that take part together, of a permutation or a transfer those that its pairs connect;
        None if the text says it in a form that is not known here.
      runs: executions in one call of the program, the trip counts of the loops around it multiplied; None if one of
        them is unknown.
      conditional: whether it stands in a branch of a ``conditional``, so that ``runs`` is the most that it can be.
      op_name: where it comes from in the traced function; of several that XLA made one, where one of them does.
      source: ``file:line`` there; empty if unknown.
    """

    name: str
    kind: str
    shape: str
    bytes: int
    group: int | None
    runs: int | None
    conditional: bool
    op_name: str
    source: str

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all its results in one call of the program; None if ``runs`` is unknown."""
        return None if self.runs is None else self.bytes * self.runs


def collectives_of(program: Program) -> list[Collective]:
    """All collective operations, in the order in which they are reached.

    One that is begun and awaited apart counts once. A TPU spreads an asynchronous one over several fusions (its
    beginning, fusions that compute meanwhile and carry it on, and its end), each with a copy of the instruction; the
    beginning counts. XLA's TPU compiler turns a reduce-scatter into an all-reduce of which each device takes a
    slice: it is an all-reduce here too, since that is what runs.
    """
    found = []
    for visit in visits(program):
        for instruction in visit.computation:
            if is_collective(instruction):
                found.append(_collective(program, visit, instruction))
            elif instruction.operation == "fusion":
                found += [_collective(program, visit, inner) for inner in begun_within(program, instruction)]
    return found


def is_collective(instruction: Instruction) -> bool:
    """Whether it is a collective or begins one; ``send`` to a host is none."""
    if instruction.opcode == "send":
        return "is_host_transfer" not in instruction.attributes
    return instruction.operation in _KINDS


def begun_within(program: Program, fusion: Instruction) -> list[Instruction]:
    """The collectives that a fusion runs or begins, without those that it only carries on or awaits."""
    inner = list(program.within(fusion))
    begins = any(each.target == "AsyncCollectiveStart" for each in inner)
    return [each for each in inner if is_collective(each) and (begins or not _in_chain(each))]


def _in_chain(instruction: Instruction) -> bool:
    """Whether it is one of a TPU's copies of an asynchronous collective."""
    return "chain_id" in instruction.attributes.get("frontend_attributes", "")


def _collective(program: Program, visit: Visit, instruction: Instruction) -> Collective:
    shape, named = result(instruction), _named(visit.computation, instruction)
    return Collective(
        name=instruction.name,
        kind=instruction.operation,
        shape=str(shape),
        bytes=shape.bytes,
        group=group_size(program, instruction),
        runs=visit.runs,
        conditional=visit.conditional,
        op_name=named.op_name,
        source=program.source(named),
    )


def _named(computation: Computation, instruction: Instruction) -> Instruction:
    """The first that says where it comes from, of an operation, what awaits it, and what takes its result.

    XLA makes one operation of several, and drops their names.
    """
    reached, given = [instruction], {instruction.name}
    for each in computation:
        if not given.isdisjoint(each.operands):
            reached.append(each)
            if each.opcode.endswith("-done") or each.opcode in ("get-tuple-element", "bitcast"):
                given.add(each.name)
    return next((each for each in reached if each.op_name), instruction)


def result(instruction: Instruction) -> Shape:
    """The shape of what an operation gives, also of one whose begin gives ``(operands, result, context...)``."""
    parts = instruction.shape.parts
    if parts is None or not (instruction.opcode.endswith("-start") or instruction.opcode == "send"):
        return instruction.shape
    if instruction.opcode == "all-reduce-start":
        return instruction.shape  # the one that has no operands in it
    return parts[0] if instruction.opcode in ("send", "copy-start") else parts[1]


def group_size(program: Program, instruction: Instruction) -> int | None:
    """Number of devices that take part in a collective together, of unequal groups the largest's."""
    pairs = instruction.attributes.get("source_target_pairs", "")
    if instruction.opcode == "send":
        pairs = instruction.attributes.get("frontend_attributes", "")
    if instruction.opcode == "send" or pairs:
        return _connected(re.findall(r"\{(\d+),(\d+)\}", pairs))
    groups = instruction.attributes.get("replica_groups", "{}")
    listed = re.findall(r"\{([\d, ]+)\}", groups)
    if listed:
        return max(len(group.split(",")) for group in listed)
    if groups == "{}":
        return program.devices  # an empty list is one group of all
    tiled = re.match(r"\[\d+,(\d+)\]", groups)  # [groups, size]<=[...]
    return int(tiled[1]) if tiled else None


def _connected(pairs: list[tuple[str, str]]) -> int | None:
    """The size of the largest set of devices that pairs of them connect; None without pairs."""
    sets: list[set[str]] = []
    for pair in pairs:
        apart = [each for each in sets if each.isdisjoint(pair)]
        joined = set(pair).union(*(each for each in sets if not each.isdisjoint(pair)))
        sets = [*apart, joined]
    return max(map(len, sets), default=None)

"""A compiled program's text as computations and instructions: the parser of XLA's HLO text.

It reads what ``compiled.as_text()`` prints for CPU, GPU and TPU (the grammar of XLA's hlo_parser.cc, as far as a
printed module uses it). A line is split into name, shape, opcode, operands and the rest; attributes are split when
they are first asked for, so that a program of many megabytes is read in seconds.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator

from rnnjax.ahead.shapes import Shape, parse_shape
from rnnjax.errors import DataError

_HEAD = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r"\s*([a-z][\w\-]*)\(")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\(|\{)")
_NAME = re.compile(r"[\w.\-]+$")
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|[(){}\[\],]')
_FIELD = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([\w.\-]+))')
_ROW = re.compile(r"^(\d+) (.*)$")

_LITERAL = ("constant", "parameter")  # what stands in their parentheses is no instruction

# Attributes whose values are names of computations that run when the instruction does.
_CALLS = ("calls", "to_apply", "called_computations")
_BRANCHES = ("branch_computations", "true_computation", "false_computation")


@dataclasses.dataclass(eq=False)
class Instruction:
    """One instruction of a computation.

    Attributes:
      name: without the percent sign.
      opcode: such as ``fusion``, as XLA spells it.
      shape: of the result.
      operands: names of the instructions it takes; of a constant or a parameter, what stands in the parentheses.
      rest: what follows the operands, unread.
      root: whether it is its computation's result.
    """

    name: str
    opcode: str
    shape: Shape
    operands: list[str]
    rest: str
    root: bool

    @functools.cached_property
    def attributes(self) -> dict[str, str]:
        """The value of each attribute as text: ``{"kind": "kLoop", "calls": "%fused", ...}``."""
        parts = (part.strip().partition("=") for part in split(self.rest))
        return {key: value for key, equals, value in parts if equals}

    @functools.cached_property
    def metadata(self) -> dict[str, str]:
        """The fields of ``metadata={...}``, such as ``op_name``, ``source_file`` and ``stack_frame_id``."""
        return _fields(self.attributes.get("metadata", ""))

    @property
    def op_name(self) -> str:
        """Where it comes from in the traced function: ``jit(f)/jvp(RNN)/while/body/dot_general``; may be empty."""
        return self.metadata.get("op_name", "")

    @property
    def target(self) -> str:
        """The name of what a custom call calls; empty for other instructions."""
        return self.attributes.get("custom_call_target", "").strip('"') if "custom-call" in self.opcode else ""

    @property
    def operation(self) -> str:
        """The opcode, of one that begins an asynchronous operation that operation's: ``fusion`` of ``fusion-start``."""
        return self.opcode.removesuffix("-start")

    def called(self) -> list[str]:
        """The computations that it runs as part of itself: of a fusion, a call or an asynchronous start."""
        return [name for key in _CALLS for name in names(self.attributes.get(key, ""))]

    def branches(self) -> list[str]:
        """The computations of which a ``conditional`` runs one."""
        return [name for key in _BRANCHES for name in names(self.attributes.get(key, ""))]


@dataclasses.dataclass(eq=False)
class Computation:
    """A computation: its instructions by name in the order of the text, which is the schedule's where there is one."""

    name: str
    instructions: dict[str, Instruction] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def root(self) -> Instruction:
        """The instruction whose result the computation returns."""
        rooted = [instruction for instruction in self if instruction.root]
        if not rooted:
            raise DataError(f"computation {self.name} of the program's text has no ROOT; is the text cut?")
        return rooted[-1]

    @functools.cached_property
    def parameters(self) -> dict[int, Instruction]:
        """The parameters by their number."""
        return {int(found.operands[0]): found for found in self if found.opcode == "parameter"}

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions.values())

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """The instructions whose results ``instruction`` takes."""
        if instruction.opcode in _LITERAL:
            return []
        try:
            return [self.instructions[name] for name in instruction.operands]
        except KeyError as error:
            raise DataError(f"{error} of computation {self.name} is used and nowhere in the program's text") from None


@dataclasses.dataclass(eq=False)
class Program:
    """A module.

    Attributes:
      header: its first line, ``HloModule ...``.
      computations: by name, in the order of the text.
      entry: the computation that a call of the program runs.
      tables: the lines of ``FileNames``, ``FileLocations`` and ``StackFrames`` by number, where the text has them.
    """

    header: str
    computations: dict[str, Computation]
    entry: Computation
    tables: dict[str, dict[str, str]]

    @functools.cached_property
    def devices(self) -> int:
        """Devices that run the program together: partitions times replicas."""
        counts = re.findall(r"\b(?:num_partitions|replica_count)=(\d+)", self.header)
        return functools.reduce(lambda product, count: product * int(count), counts, 1)

    def part(self, loop: Instruction, which: str) -> Computation:
        """The ``"body"`` or the ``"condition"`` of a ``while``."""
        (name,) = names(loop.attributes[which])
        return self.computations[name]

    def within(self, instruction: Instruction) -> Iterator[Instruction]:
        """All instructions inside a fusion, those of fusions within it too."""
        for name in instruction.called():
            for inner in self.computations[name]:
                yield inner
                if inner.operation in ("fusion", "call", "async"):
                    yield from self.within(inner)

    def source(self, instruction: Instruction) -> str:
        """``file:line`` of the traced function, from the metadata or by the tables; empty where neither says it."""
        metadata = instruction.metadata
        if "source_file" in metadata:
            return f"{metadata['source_file']}:{metadata.get('source_line', '')}"
        frame = self._row("StackFrames", metadata.get("stack_frame_id", ""))
        place = self._row("FileLocations", frame.get("file_location_id", ""))
        file = self.tables.get("FileNames", {}).get(place.get("file_name_id", ""), "").strip('"')
        return f"{file}:{place.get('line', '')}" if file else ""

    def _row(self, table: str, number: str) -> dict[str, str]:
        return _fields(self.tables.get(table, {}).get(number, ""))


def _fields(text: str) -> dict[str, str]:
    """The pairs in ``{key="value" key=value}``."""
    return {key: quoted or plain for key, quoted, plain in _FIELD.findall(text)}


def names(value: str) -> list[str]:
    """The names in an attribute's value: ``%a`` or ``{%a, %b}``."""
    return re.findall(r"[\w.\-]+", value)


def split(text: str) -> list[str]:
    """``text`` at its commas outside of brackets and quotes; comments such as ``/*index=5*/`` are left in."""
    parts, depth, start = [], 0, 0
    for mark in _MARK.finditer(text):
        sign = mark[0]
        if sign in "({[":
            depth += 1
        elif sign in ")}]":
            depth -= 1
        elif sign == "," and not depth:
            parts.append(text[start : mark.start()])
            start = mark.end()
    parts.append(text[start:])
    return parts


def closing(text: str, start: int) -> int:
    """The place of the bracket that closes the one at ``start``.

    Raises:
      DataError: if nothing closes it.
    """
    depth = 0
    for mark in _MARK.finditer(text, start):
        if mark[0] in "({[":
            depth += 1
        elif mark[0] in ")}]":
            depth -= 1
            if not depth:
                return mark.start()
    raise DataError(f"a bracket of the program's text is never closed: {text[start : start + 80]!r}")


def _instruction(line: str, head: re.Match[str]) -> Instruction:
    at = head.end()
    end = closing(line, at) + 1 if line[at] == "(" else line.find(" ", at)
    opcode = _OPCODE.match(line, end)
    if not opcode:
        raise DataError(f"no opcode in a line of the program's text: {line.strip()[:80]!r}")
    close = closing(line, opcode.end() - 1)
    inside = line[opcode.end() : close]
    if opcode[1] in _LITERAL:
        operands = [inside]
    else:
        operands = [_operand(part) for part in split(inside)] if inside.strip() else []
    return Instruction(head[2], opcode[1], parse_shape(line[at:end]), operands, line[close + 1 :], bool(head[1]))


def _operand(text: str) -> str:
    """The name at the end of an operand, before which a comment or its shape may stand."""
    name = _NAME.search(text.rstrip())
    if not name:
        raise DataError(f"an operand of the program's text has no name: {text[:80]!r}")
    return name[0]


def parse(text: str) -> Program:
    """The program that ``text`` describes.

    Args:
      text: as ``compiled.as_text()`` returns it, optimized HLO.

    Raises:
      DataError: if it is no HLO text or is cut within a computation.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("HloModule"):
        raise DataError("the text of a compiled program begins with 'HloModule'; hand over compiled.as_text()")
    computations: dict[str, Computation] = {}
    tables: dict[str, dict[str, str]] = {}
    entry, current, table = None, None, None
    for line in lines[1:]:
        if current is not None:
            head = _HEAD.match(line)
            if head:
                instruction = _instruction(line, head)
                current.instructions[instruction.name] = instruction
            elif line.startswith("}"):
                current = None
        elif line.endswith("{") and (begin := _COMPUTATION.match(line)):
            current = computations[begin[2]] = Computation(begin[2])
            entry = current if begin[1] else entry
        elif line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
            table = tables[line] = {}
        elif table is not None and (row := _ROW.match(line)):
            table[row[1]] = row[2]
    if entry is None or current is not None:
        raise DataError("the program's text has no ENTRY computation or ends within one; is it cut?")
    return Program(lines[0], computations, entry, tables)

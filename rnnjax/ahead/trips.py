"""How often a ``while`` of a compiled program runs its body."""

import dataclasses
import re

from rnnjax.ahead.program import Computation, Instruction, Program

_KNOWN = re.compile(r'"known_trip_count":\{"n":"?(\d+)')
_SAME = {"bitcast", "copy", "copy-start", "copy-done", "convert", "reshape", "opt-barrier"}
_MIRRORED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE", "NE": "NE", "EQ": "EQ"}


@dataclasses.dataclass(frozen=True)
class Frame:
    """A computation and from where it runs, so that its parameters have values.

    Attributes:
      computation: that runs.
      caller: the instruction that runs it; None for the entry.
      outer: the frame in which ``caller`` stands.
      symbolic: of a loop's body or condition, whether what the loop carries stands for itself: is asked
        about, and not what it was before the loop.
    """

    computation: Computation
    caller: Instruction | None = None
    outer: "Frame | None" = None
    symbolic: bool = False


@dataclasses.dataclass(frozen=True)
class _Value:
    """An integer: ``offset``, or that plus element ``element`` of the tuple that the loop carries."""

    offset: int
    element: int | None = None


def trip_count(program: Program, frame: Frame, loop: Instruction) -> int | None:
    """How often ``loop``, a ``while`` in the computation of ``frame``, runs its body; None if the text does not say.

    XLA says it in ``backend_config`` of CPU and GPU programs. Elsewhere it follows from a counter: one
    element of the carried tuple that begins with a constant, to which the body adds a constant, and that the
    condition compares with a constant (or with another element that begins with one and never changes).
    """
    known = _KNOWN.search(loop.attributes.get("backend_config", ""))
    if known:
        return int(known[1])
    reader = _Reader(program)
    condition = Frame(program.part(loop, "condition"), loop, frame, symbolic=True)
    compared = reader.comparison(condition, condition.computation.root)
    if compared is None:
        return None
    left, right, direction = compared
    if left.element is None:
        left, right, direction = right, left, _MIRRORED[direction]
    if left.element is None:
        return None
    first, after = reader.before(frame, loop, left.element), reader.after(frame, loop, left.element)
    bound = right if right.element is None else reader.constant(frame, loop, right.element)
    if first is None or after is None or after.element != left.element:
        return None
    if bound is None or (right.element is not None and bound.element is not None):
        return None
    bound = bound.offset + (0 if right.element is None else right.offset)
    return _steps(first.offset + left.offset, bound, after.offset, direction)


def _steps(first: int, bound: int, step: int, direction: str) -> int | None:
    """How many of first, first + step, ... come before the comparison with ``bound`` fails; None if it never does."""
    if direction in ("LE", "GE"):
        bound += 1 if direction == "LE" else -1
    if direction == "NE" and step and (bound - first) % step == 0 and (bound - first) // step >= 0:
        return (bound - first) // step
    if direction in ("LT", "LE"):
        return 0 if first >= bound else -((first - bound) // step) if step > 0 else None
    if direction in ("GT", "GE"):
        return 0 if first <= bound else -((bound - first) // -step) if step < 0 else None
    return None


class _Reader:
    """Reads the integers of which a loop's counter is made; None wherever it is something else."""

    def __init__(self, program: Program):
        self._program = program

    def before(self, frame: Frame, loop: Instruction, element: int) -> _Value | None:
        """What an element is before the loop, if that is a constant."""
        begins = self._element(frame, frame.computation.operands(loop)[0], element)
        return begins if begins is not None and begins.element is None else None

    def after(self, frame: Frame, loop: Instruction, element: int) -> _Value | None:
        """What an element is after one step."""
        body = Frame(self._program.part(loop, "body"), loop, frame, symbolic=True)
        return self._element(body, body.computation.root, element)

    def constant(self, frame: Frame, loop: Instruction, element: int) -> _Value | None:
        """What an element is at every step, and after the loop, if it never changes."""
        unchanged = self.after(frame, loop, element) == _Value(0, element)
        return self._element(frame, frame.computation.operands(loop)[0], element) if unchanged else None

    def comparison(self, frame: Frame, instruction: Instruction) -> tuple[_Value, _Value, str] | None:
        """Both sides of a comparison and its direction, also of one that is wrapped in a fusion."""
        if instruction.opcode in ("fusion", "call"):
            inner = self._inside(frame, instruction)
            return self.comparison(inner, inner.computation.root)
        if instruction.opcode in _SAME:
            return self.comparison(frame, frame.computation.operands(instruction)[0])
        if instruction.opcode != "compare":
            return None
        left, right = (self._value(frame, operand) for operand in frame.computation.operands(instruction))
        return None if left is None or right is None else (left, right, instruction.attributes["direction"])

    def _inside(self, frame: Frame, caller: Instruction) -> Frame:
        return Frame(self._program.computations[caller.called()[0]], caller, frame)

    def _argument(self, frame: Frame, parameter: Instruction) -> tuple[Frame, Instruction] | None:
        """What a fusion or a call hands over for a parameter, and the frame in which that stands."""
        if frame.caller is None or frame.outer is None or frame.caller.operation not in ("fusion", "call", "async"):
            return None
        return frame.outer, frame.outer.computation.operands(frame.caller)[int(parameter.operands[0])]

    def _value(self, frame: Frame, instruction: Instruction) -> _Value | None:
        """The value of an integer instruction."""
        opcode, operands = instruction.opcode, frame.computation.operands(instruction)
        if opcode == "constant":
            return _Value(int(instruction.operands[0])) if re.fullmatch(r"-?\d+", instruction.operands[0]) else None
        if opcode == "parameter":
            argument = self._argument(frame, instruction)
            return self._value(*argument) if argument else None
        if opcode == "get-tuple-element":
            return self._element(frame, operands[0], int(instruction.attributes["index"]))
        if opcode in _SAME:
            return self._value(frame, operands[0])
        if opcode in ("fusion", "call"):
            inner = self._inside(frame, instruction)
            return self._value(inner, inner.computation.root)
        if opcode in ("add", "subtract"):
            return _sum(*(self._value(frame, operand) for operand in operands), subtract=opcode == "subtract")
        return None

    def _element(self, frame: Frame, instruction: Instruction, element: int) -> _Value | None:
        """The value of an element of an instruction that gives a tuple."""
        opcode, operands = instruction.opcode, frame.computation.operands(instruction)
        if opcode == "tuple":
            return self._value(frame, operands[element])
        if opcode in _SAME:
            return self._element(frame, operands[0], element)
        if opcode in ("fusion", "call"):
            inner = self._inside(frame, instruction)
            return self._element(inner, inner.computation.root, element)
        if opcode == "while":
            return self.constant(frame, instruction, element)
        if opcode != "parameter":
            return None
        if frame.symbolic:
            return _Value(0, element)
        if frame.caller is not None and frame.outer is not None and frame.caller.opcode == "while":
            return self.constant(frame.outer, frame.caller, element)
        argument = self._argument(frame, instruction)
        return self._element(*argument, element) if argument else None


def _sum(left: _Value | None, right: _Value | None, subtract: bool) -> _Value | None:
    """The sum or the difference, where it is at most one element and a constant."""
    if left is None or right is None or (right.element is not None and (subtract or left.element is not None)):
        return None
    element = right.element if left.element is None else left.element
    return _Value(left.offset + (-right.offset if subtract else right.offset), element)

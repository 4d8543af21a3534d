"""How often a ``while`` of a compiled program runs its body."""

import dataclasses
import re

from rnnjax.ahead.program import Computation, Instruction, Program

_KNOWN = re.compile(r'"known_trip_count":\{"n":"?(\d+)')
_SAME = {"bitcast", "copy", "copy-start", "copy-done", "convert", "reshape"}
_MIRRORED = {"LT": "GT", "GT": "LT", "LE": "GE", "GE": "LE", "NE": "NE", "EQ": "EQ"}


@dataclasses.dataclass(frozen=True)
class _Value:
    """An integer: ``offset``, or that plus element ``element`` of the tuple that the loop carries."""

    offset: int
    element: int | None = None


def trip_count(program: Program, where: Computation, loop: Instruction) -> int | None:
    """How often ``loop``, a ``while`` in the computation ``where``, runs its body; None if the text does not say.

    XLA says it in ``backend_config`` of CPU and GPU programs. Elsewhere it follows from a counter: one
    element of the carried tuple that begins with a constant, to which the body adds a constant, and that the
    condition compares with a constant (or with another element that begins with one and never changes).
    """
    known = _KNOWN.search(loop.attributes.get("backend_config", ""))
    if known:
        return int(known[1])
    condition = program.computations.get(loop.attributes.get("condition", "").lstrip("%"))
    body = program.computations.get(loop.attributes.get("body", "").lstrip("%"))
    if condition is None or body is None:
        return None
    compared = _comparison(program, condition, condition.root, {})
    if compared is None:
        return None
    left, right, direction = compared
    if left.element is None:
        left, right, direction = right, left, _MIRRORED[direction]
    if left.element is None:
        return None
    bound = right.offset
    if right.element is not None:
        unchanged = _next(program, body, right.element) == _Value(0, right.element)
        begins = _first(program, where, loop, right.element)
        if not unchanged or begins is None:
            return None
        bound += begins
    first, after = _first(program, where, loop, left.element), _next(program, body, left.element)
    if first is None or after is None or after.element != left.element:
        return None
    return _steps(first + left.offset, bound, after.offset, direction)


def _steps(first: int, bound: int, step: int, direction: str) -> int | None:
    """How many of first, first + step, ... come before the comparison with ``bound`` fails; None if it never does."""
    if direction in ("LE", "GE"):
        bound += 1 if direction == "LE" else -1
    if direction == "NE" and step and (bound - first) % step == 0:
        direction = "LT" if step > 0 else "GT"
    if direction in ("LT", "LE") and step > 0:
        return max(0, -((first - bound) // step))
    if direction in ("GT", "GE") and step < 0:
        return max(0, -((bound - first) // -step))
    return None


def _first(program: Program, where: Computation, loop: Instruction, element: int) -> int | None:
    """What the element is before the loop, if that is a constant."""
    carried = where.operands(loop)
    if not carried or carried[0].opcode != "tuple":
        return None
    begins = _value(program, where, where.operands(carried[0])[element], {})
    return begins.offset if begins is not None and begins.element is None else None


def _next(program: Program, body: Computation, element: int) -> _Value | None:
    """What the element is after one step."""
    if body.root.opcode != "tuple":
        return None
    return _value(program, body, body.operands(body.root)[element], {})


def _comparison(program, where, instruction, given) -> tuple[_Value, _Value, str] | None:
    """Both sides of a comparison and its direction, also of one that is wrapped in a fusion."""
    if instruction.opcode in ("fusion", "call"):
        inner, arguments = _inside(program, where, instruction, given)
        return _comparison(program, inner, inner.root, arguments)
    if instruction.opcode in _SAME:
        return _comparison(program, where, where.operands(instruction)[0], given)
    if instruction.opcode != "compare":
        return None
    left, right = (_value(program, where, operand, given) for operand in where.operands(instruction))
    return None if left is None or right is None else (left, right, instruction.attributes["direction"])


def _inside(program, where, instruction, given) -> tuple[Computation, dict[int, _Value | None]]:
    """The computation that a fusion or call runs, and the values of its parameters."""
    inner = program.computations[instruction.called()[0]]
    operands = where.operands(instruction)
    return inner, {number: _value(program, where, operand, given) for number, operand in enumerate(operands)}


def _value(program, where, instruction, given: dict[int, _Value | None]) -> _Value | None:
    """The value of an integer instruction; None if it is none of those that a counter is made of.

    Args:
      program: it is of.
      where: the computation that it stands in.
      instruction: in ``where``.
      given: values of the parameters of ``where``, where they are known.
    """
    opcode, operands = instruction.opcode, where.operands(instruction)
    if opcode == "constant":
        return _Value(int(instruction.operands[0])) if re.fullmatch(r"-?\d+", instruction.operands[0]) else None
    if opcode == "parameter":
        return given.get(int(instruction.operands[0]))
    if opcode == "get-tuple-element":
        element = int(instruction.attributes["index"])
        return _Value(0, element) if operands[0].opcode == "parameter" and not given else None
    if opcode in _SAME:
        return _value(program, where, operands[0], given)
    if opcode in ("fusion", "call") and instruction.shape.parts is None:
        inner, arguments = _inside(program, where, instruction, given)
        return _value(program, inner, inner.root, arguments or {-1: None})
    if opcode in ("add", "subtract"):
        left, right = (_value(program, where, operand, given) for operand in operands)
        if left is None or right is None or (left.element is not None and right.element is not None):
            return None
        if opcode == "subtract":
            return None if right.element is not None else _Value(left.offset - right.offset, left.element)
        element = right.element if left.element is None else left.element
        return _Value(left.offset + right.offset, element)
    return None

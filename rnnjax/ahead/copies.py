"""Loops that copy a whole sequence at every step: found by following what the loop carries through its body.

What counts, of a loop whose body is B and whose trips are n (or unknown):

- A *sequence* is an element of the tuple that the loop carries which B reads by ``dynamic-slice`` or updates by
  ``dynamic-update-slice``, within fusions, calls and branches too, such that in one dimension of at least n elements
  (of any number where n is unknown) less than the whole is read or written: ``[T, B, H]`` of which a step has
  ``[1, B, H]``. What a loop inside B slices is that loop's sequence.
- A *copy of a whole sequence* is a kernel in B, or in a loop inside it, with a result of at least as many elements as
  the sequence, which either takes the whole sequence or a copy of it, or whose result or a copy of that becomes the
  sequence of the next step. Its ``how`` is ``"copy"`` where all that it does is to copy, transpose, reshape or
  convert; ``"rewrite"`` where it computes, as ``where(mask, buffer, new)`` over the whole buffer does.
- No copy is what works in place: a ``dynamic-update-slice`` or ``scatter``, or a fusion that updates a parameter so and
  does nothing else to it (XLA then shares the buffer), or a custom call's result that aliases an operand. A product, a
  reduction and a collective make something else of the sequence than a copy.

A step's time then grows with the length of the sequence, and the whole loop's with its square.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from rnnjax.ahead.collectives import begun_within, is_collective, result
from rnnjax.ahead.kernels import called_kind
from rnnjax.ahead.program import Computation, Instruction, Program
from rnnjax.ahead.shapes import Shape


@dataclasses.dataclass(frozen=True)
class WholeCopy:
    """A kernel of a loop's body that writes a whole sequence at each step.

    Attributes:
      name: of the instruction.
      how: ``"copy"`` or ``"rewrite"``, as the module's docstring says.
      shape: of the array that it writes, such as ``f32[200,8,32]``.
      bytes: of that array.
      elements: places in the loop's tuple of the sequences that it copies.
      op_name: where it comes from in the traced function; often empty, since XLA itself adds copies.
      source: ``file:line`` there; empty if unknown.
    """

    name: str
    how: str
    shape: str
    bytes: int
    elements: tuple[int, ...]
    op_name: str
    source: str


@dataclasses.dataclass(frozen=True, eq=False)
class _Write:
    """A whole array that a kernel writes."""

    instruction: Instruction
    how: str
    shape: Shape


@dataclasses.dataclass(frozen=True)
class _Whole:
    """What an array is the whole of.

    Attributes:
      elements: places in the loop's tuple.
      writes: of kernels through which it came to be.
      how: within a fusion, what was done to it: ``"same"``, ``"updated"`` in place, ``"copy"`` or ``"rewrite"``.
    """

    elements: frozenset[int] = frozenset()
    writes: frozenset[_Write] = frozenset()
    how: str = "same"

    def __or__(self, other: "_Whole") -> "_Whole":
        how = max(self.how, other.how, key=_HOW.index)
        return _Whole(self.elements | other.elements, self.writes | other.writes, how)


_HOW = ["same", "updated", "copy", "rewrite"]
_NOTHING = _Whole()
_Value = _Whole | tuple["_Value", ...]  # of a tuple, what each part is the whole of

_SAME = {"bitcast", "opt-barrier", "get-tuple-element", "add-dependency", "domain"}
_COPIES = {"copy", "transpose", "reshape", "convert", "reverse"}
_IN_PLACE = {"dynamic-update-slice", "scatter"}
# What is made of an array, but is no copy of it even where it is as large.
_OTHERS = {
    "broadcast",
    "dot",
    "convolution",
    "reduce",
    "reduce-window",
    "gather",
    "dynamic-slice",
    "select-and-scatter",
    "rng",
}


def whole_copies(program: Program, body: Computation, trips: int | None) -> list[WholeCopy]:
    """The copies of whole sequences in a loop's body, in the order of the program; those of loops inside it too.

    Args:
      program: it is of.
      body: of the loop.
      trips: how often it runs; None if unknown.
    """
    carried = body.parameters[0].shape.parts or ()
    sequence = _Flow(program, trips)
    after = sequence.through(body, [tuple(_Whole(frozenset({place})) for place in range(len(carried)))])
    becomes: dict[_Write, set[int]] = {}
    for place, value in enumerate(after if isinstance(after, tuple) else ()):
        for write in value.writes if isinstance(value, _Whole) else ():
            becomes.setdefault(write, set()).add(place)
    found = []
    for write, taken in sequence.writes.items():
        of = {
            place
            for place in (taken | becomes.get(write, set())) & sequence.sliced
            if math.prod(carried[place].dims) <= write.shape.elements
        }
        if of:
            found.append(_found(program, write, of))
    return found


def _found(program: Program, write: _Write, elements: set[int]) -> WholeCopy:
    shape, made = write.shape, write.instruction
    places = tuple(sorted(elements))
    return WholeCopy(made.name, write.how, str(shape), shape.bytes, places, made.op_name, program.source(made))


class _Flow:
    """Follows the arrays of a loop's tuple through its body.

    Attributes:
      sliced: places of the sequences.
      writes: each kernel's result that is an array of its own, with the places of what it was made of the whole of.
    """

    def __init__(self, program: Program, trips: int | None):
        self._program, self._trips = program, trips
        self.sliced: set[int] = set()
        self.writes: dict[_Write, set[int]] = {}

    def through(self, computation: Computation, given: list[_Value], fused: bool = False) -> _Value:
        """What the result of ``computation`` is the whole of, if its parameters are of ``given``."""
        values: dict[str, _Value] = {}
        for instruction in computation:
            operands = computation.operands(instruction)
            taken = [values[operand.name] for operand in operands]
            if instruction.opcode == "parameter":
                number = int(instruction.operands[0])
                values[instruction.name] = given[number] if number < len(given) else _NOTHING
                continue
            self._note_slices(instruction, operands, taken)
            follow = self._within if fused else self._launched
            values[instruction.name] = follow(instruction, operands, taken)
        return values[computation.root.name]

    def _note_slices(self, instruction: Instruction, operands: list[Instruction], taken: list[_Value]) -> None:
        """Marks the sequences of which an instruction reads or writes less than the whole along a long dimension."""
        opcode = instruction.operation
        if opcode not in ("dynamic-slice", "dynamic-update-slice"):
            return
        whole = operands[0].shape.dims
        part = result(instruction).dims if opcode == "dynamic-slice" else operands[1].shape.dims
        least = 0 if self._trips is None else self._trips
        if any(size < full and full >= least for size, full in zip(part, whole, strict=True)):
            self.sliced |= {place for whole in _arrays(taken[0]) if whole.how != "rewrite" for place in whole.elements}

    def _within(self, instruction: Instruction, operands: list[Instruction], taken: list[_Value]) -> _Value:
        """What an instruction inside a fusion gives."""
        opcode = instruction.operation
        if opcode == "tuple":
            return tuple(taken)
        if opcode == "get-tuple-element":
            return _part(taken[0], int(instruction.attributes["index"]))
        if opcode in _SAME:
            return taken[0]
        if opcode in ("fusion", "call"):
            return self.through(self._program.computations[instruction.called()[0]], taken, fused=True)
        if opcode in _IN_PLACE:
            return _union(taken[0]) | _Whole(how="updated")
        if opcode in _OTHERS:
            return _Whole(how="rewrite")
        size = result(instruction).elements
        whole = _Whole(how="copy" if opcode in _COPIES else "rewrite")
        for value, made in zip(taken, operands, strict=True):
            if made.shape.elements <= size:
                whole |= _union(value)
        return whole

    def _launched(self, instruction: Instruction, operands: list[Instruction], taken: list[_Value]) -> _Value:
        """What an instruction outside of fusions gives, which writes its result to memory if it is a kernel."""
        opcode, computations = instruction.operation, self._program.computations
        if opcode == "tuple":
            return tuple(taken)
        if opcode == "get-tuple-element":
            return _part(taken[0], int(instruction.attributes["index"]))
        if opcode.endswith(("-done", "-update")):
            return taken[0]
        if opcode in _SAME or opcode in _IN_PLACE:
            return taken[0]
        if opcode in ("call", "async"):
            return self.through(computations[instruction.called()[0]], taken)
        if opcode == "while":
            outer, after = set(self.sliced), self.through(self._program.part(instruction, "body"), taken)
            self.sliced = outer
            return _join([taken[0], after])
        if opcode == "conditional":
            branches = zip(instruction.branches(), taken[1:], strict=True)
            return _join([self.through(computations[name], [value]) for name, value in branches])
        if is_collective(instruction) or opcode in ("constant", "iota", "rng", "after-all"):
            return _NOTHING
        if opcode == "fusion":
            if begun_within(self._program, instruction):
                return _NOTHING
            inner = self.through(computations[instruction.called()[0]], taken, fused=True)
            return self._written(instruction, result(instruction), inner)
        if opcode == "custom-call":
            return self._called(instruction, taken)
        inner = self._within(instruction, operands, [_reset(value) for value in taken])
        return self._written(instruction, result(instruction), inner)

    def _written(self, instruction: Instruction, shape: Shape, value: _Value) -> _Value:
        """``value`` as the result of a kernel, of which each array that was not updated in place is a write."""
        if shape.parts is not None:
            parts = value if isinstance(value, tuple) else (_NOTHING,) * len(shape.parts)
            return tuple(
                self._written(instruction, part, inner) for part, inner in zip(shape.parts, parts, strict=True)
            )
        whole = _union(value)
        if whole.how == "updated":
            return _reset(whole)
        write = _Write(instruction, "rewrite" if whole.how == "rewrite" else "copy", shape)
        self.writes[write] = set(whole.elements)
        if write.how == "rewrite":  # something else from here on: a sequence's activations are not the sequence
            return _Whole(writes=frozenset({write}))
        return _Whole(whole.elements, whole.writes | {write})

    def _called(self, instruction: Instruction, taken: list[_Value]) -> _Value:
        """What a custom call gives: the operands whose buffers its results share, and else arrays of its own."""
        shape = instruction.shape
        parts: list[_Value] = [_Whole(how="rewrite") for _ in shape.parts or [shape]]
        shared = instruction.attributes.get("output_to_operand_aliasing", "")
        for place, operand in re.findall(r"\{(\d*)\}: \((\d+),", shared):
            parts[int(place or 0)] = dataclasses.replace(_union(taken[int(operand)]), how="updated")
        if called_kind(instruction.target) is None:
            return _NOTHING
        return self._written(instruction, shape, tuple(parts) if shape.parts is not None else parts[0])


def _arrays(value: _Value) -> Iterator[_Whole]:
    if isinstance(value, _Whole):
        yield value
    else:
        for part in value:
            yield from _arrays(part)


def _union(value: _Value) -> _Whole:
    """What any of the arrays of a value is the whole of."""
    found = _NOTHING
    for whole in _arrays(value):
        found |= whole
    return found


def _join(values: list[_Value]) -> _Value:
    """What comes of one or another of some values."""
    if all(isinstance(value, tuple) for value in values) and len({len(value) for value in values}) == 1:  # pyright: ignore
        return tuple(_join(list(parts)) for parts in zip(*values, strict=True))  # pyright: ignore
    return _union(tuple(values))


def _part(value: _Value, place: int) -> _Value:
    return value[place] if isinstance(value, tuple) and place < len(value) else _union(value)


def _reset(value: _Value) -> _Value:
    """A value as the operand of another kernel, to which nothing was done yet."""
    if isinstance(value, tuple):
        return tuple(_reset(part) for part in value)
    return dataclasses.replace(value, how="same")

"""Which element-wise operations of a step XLA divides among the threads of a CPU, read from a compiled gradient."""

import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import record
from experiments.benchmarks.task import Shape
from rnnjax.ahead.kernels import FUSED_PRODUCT, PRODUCT, kind_of
from rnnjax.ahead.program import Computation, Instruction, Program, parse
from rnnjax.ahead.text import loops
from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.recurrence import RNN

CELLS = {"lstm": LSTMCell, "gru": GRUCell}
IN_PLACE, SMALL, KIND = "in place", "small", "kind"
"""Why something is not divided: its root is a dynamic-update-slice that may write in place; XLA's estimate of its work
is too small, as nothing else stands in the way; or XLA divides no operation of its kind, such as a copy."""

_PARTITIONS = re.compile(r'"outer_dimension_partitions":\["([^\]]*)"\]')
_DIVIDED = frozenset({"concatenate", "broadcast", "dynamic-slice", "slice", "pad", "reduce", "transpose", "reverse"})
_SLICES = ("slice", "dynamic-slice")

Found = dict[str, Any]


def gradient_text(cell: str, shape: Shape) -> str:
    """The optimized text of the gradient by the parameters of a layer's summed squares of outputs."""
    layer = RNN(CELLS[cell](shape.H))
    inputs = jax.ShapeDtypeStruct((shape.B, shape.T, shape.D), jnp.float32)
    variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)

    def loss(variables: Any, inputs: jax.Array) -> jax.Array:
        outputs: Any = layer.apply(variables, inputs)[1]
        return jnp.square(outputs).sum()

    return jax.jit(jax.grad(loss)).lower(variables, inputs).compile().as_text() or ""


def of_layer(cell: str, shape: Shape) -> list[Found]:
    """The loops of a layer's compiled gradient, each with its operations and what the process's threads are."""
    what = {"cell": cell, "shape": [shape.B, shape.T, shape.D, shape.H], "threads": record.cores()}
    return [what | loop for loop in divisions(gradient_text(cell, shape))]


def divisions(text: str) -> list[Found]:
    """For each loop of a compiled program its operations: dicts of ``loop``, ``trips`` and ``operations``.

    An operation is what one iteration runs of its own but products, which have threads of their own, and single
    numbers: a dict of its ``name`` and ``opcode``, the ``shape`` of its result, the ``bytes`` that it reads and writes,
    its ``partitions`` (1: one thread) and, where that is 1, ``why``.
    """
    program = parse(text)
    return [
        {
            "loop": "backward" if loop.backward else "forward",
            "trips": loop.trips,
            "operations": list(_operations(program, program.computations[loop.body])),
        }
        for loop in loops(text)
    ]


def _operations(program: Program, body: Computation) -> Iterator[Found]:
    for instruction in body:
        kind = kind_of(program, body, instruction)
        if kind in (None, PRODUCT, FUSED_PRODUCT) or instruction.opcode == "while" or instruction.shape.elements == 1:
            continue
        counts = _PARTITIONS.search(instruction.attributes.get("backend_config", ""))
        partitions = 1
        for count in counts[1].split('","') if counts else ():
            partitions *= int(count)
        yield {
            "name": instruction.name,
            "opcode": instruction.opcode,
            "shape": str(instruction.shape),
            "bytes": _moved(program, body, instruction),
            "partitions": partitions,
            "why": None if partitions > 1 else _why(program, instruction),
        }


def _why(program: Program, instruction: Instruction) -> str:
    if _update(program, instruction):
        return IN_PLACE
    return SMALL if instruction.opcode == "fusion" or instruction.opcode in _DIVIDED else KIND


def _update(program: Program, instruction: Instruction) -> tuple[Computation, Instruction] | None:
    """The dynamic-update-slice that is a fusion's root, and where it stands; None if there is none."""
    if instruction.opcode != "fusion":
        return None
    inside = program.computations[instruction.called()[0]]
    root = inside.root
    while root.opcode == "bitcast":
        (root,) = inside.operands(root)
    return (inside, root) if root.opcode == "dynamic-update-slice" else None


def _moved(program: Program, body: Computation, instruction: Instruction) -> int:
    """Bytes read and written: of what is sliced the slices, of what is written in place what is written."""
    update = _update(program, instruction)
    written = update[0].operands(update[1])[1].shape.bytes if update else instruction.shape.bytes
    operands = body.operands(instruction)
    if instruction.opcode != "fusion":
        return written + sum(operand.shape.bytes for operand in operands)
    inside = program.computations[instruction.called()[0]]
    return written + sum(_read(inside, inside.parameters[number]) for number in range(len(operands)))


def _read(inside: Computation, source: Instruction) -> int:
    """Bytes that a fusion reads of ``source``, at most all of it."""
    total = 0
    for user in inside:
        if user.opcode == "parameter" or source.name not in user.operands:
            continue
        if user.opcode == "bitcast":
            total += _read(inside, user)
        elif user.opcode in _SLICES and user.operands[0] == source.name:
            total += user.shape.bytes
        elif not (user.opcode == "dynamic-update-slice" and user.operands[0] == source.name):
            total += source.shape.bytes
    return min(total, source.shape.bytes)

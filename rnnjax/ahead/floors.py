"""Floors of a step's time by public peak rates: what no program that does this work can pass, and never a forecast."""

from dataclasses import dataclass
from typing import Any

from rnnjax.ahead.memory import Memory
from rnnjax.ahead.operations import Operations
from rnnjax.ahead.steps import Step


@dataclass(frozen=True)
class Floors:
    """Of one step on one device.

    Attributes:
      operations: floating-point operations of its products.
      bytes: that must be read or written at least: see :func:`moved`.
      arithmetic: seconds that the operations take at the chip's peak rates of their dtypes and precisions.
      memory: seconds that the bytes take at the bandwidth of its memory.
    """

    operations: int
    bytes: int
    arithmetic: float
    memory: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.bytes

    @property
    def holds(self) -> str:
        """The higher floor: ``arithmetic`` or ``memory``."""
        return "arithmetic" if self.arithmetic >= self.memory else "memory"


def of(step: Step, counted: Operations, memory: Memory, chip: dict[str, Any]) -> Floors:
    """The floors of a step.

    Args:
      step: compiled.
      counted: the operations of one call of it.
      memory: of it.
      chip: its entry of ``chips.json``.
    """
    seconds = sum(number / rate(chip, *kind) for kind, number in counted.by_kind.items())
    bytes_moved = moved(step, memory)
    return Floors(
        operations=counted.total // step.count,
        bytes=bytes_moved,
        arithmetic=seconds / step.count,
        memory=bytes_moved / chip["bandwidth"],
    )


def rate(chip: dict[str, Any], dtype: str, precision: str) -> float:
    """Peak operations/s of products of a dtype, of float32 at a precision of JAX's.

    Args:
      chip: its entry of ``chips.json``.
      dtype: of the operands; one that is not listed, such as float64, has the rate of float32 at ``highest``.
      precision: ``default``, ``high`` or ``highest``.
    """
    peaks = chip["peak"]
    found = peaks.get("bfloat16" if dtype == "float16" else dtype, peaks["float32"]["highest"])
    return found[precision] if isinstance(found, dict) else found


def moved(step: Step, memory: Memory) -> int:
    """Bytes of one device's memory that a step moves at least, where no cache holds them from one step to the next.

    In training the state is read and written; in evaluation the model's variables are read. A batch's rows of the
    data are read, and what the compiled program keeps at the fullest moment of a step is written and read.
    """
    return step.state_bytes * (2 if step.name == "train" else 1) + step.batch_bytes + 2 * within_a_step(step, memory)


def within_a_step(step: Step, memory: Memory) -> int:
    """Bytes of a call's temporaries that each of its steps writes at least.

    Before the loop over its steps a call may copy what that carries, once: at most all arguments and outputs. What it
    keeps at its fullest moment beyond those is of one step; and all of it is written once a call at least.
    """
    once = memory.arguments + memory.outputs
    return max(memory.temporaries // step.count, memory.temporaries - once)

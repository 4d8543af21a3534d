"""What a compiled step keeps in the memory of each device."""

from dataclasses import dataclass
from typing import Any

from rnnjax.ahead.steps import Step


@dataclass(frozen=True)
class Memory:
    """Bytes of one device while a compiled call runs.

    Attributes:
      arguments: the state, the data that lie on the device, and what a call is told.
      outputs: results, those left out that take the memory of donated arguments.
      temporaries: everything between.
      program: the code, where the compiler counts it.
      available: of the chip.
    """

    arguments: int
    outputs: int
    temporaries: int
    program: int
    available: int

    @property
    def together(self) -> int:
        """All of it."""
        return self.arguments + self.outputs + self.temporaries + self.program

    @property
    def share(self) -> float:
        """Of the chip's memory."""
        return self.together / self.available

    @property
    def fits(self) -> bool:
        """Whether the chip's memory holds it. What the runtime keeps for itself, some percent, is not counted."""
        return self.together <= self.available


def of(step: Step, chip: dict[str, Any]) -> Memory | None:
    """The memory of a step; None where it was too much for the compiler."""
    if step.compiled is None:
        return None
    found: Any = step.compiled.memory_analysis()
    return Memory(
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes - found.alias_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
        program=found.generated_code_size_in_bytes,
        available=int(chip["memory"]),
    )


def fits(step: Step, chip: dict[str, Any]) -> bool:
    """Whether a step fits into the chip's memory."""
    memory = of(step, chip)
    return memory is not None and memory.fits

"""What a recurrence over time is handed, whichever implementation runs it.

Axes: T time (first here), B batch (any number of axes), D input features, H hidden features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from rnnjax.layers.cells import Carry, Noise, RecurrentCell

Array = jax.Array


class Steps(NamedTuple):
    """What a scan runs over, time first.

    Attributes:
      inputs: ``[T, ..., D]``.
      real: ``[T, ..., 1]`` booleans or None.
      starts: ``[T, ..., 1]`` booleans or None.
      keys: what the draws of each step are made with, ``[T]`` keys of the hidden state's dropout and of zoneout, where
        they have to be the same in whichever chunk a step stands; None: each step asks for its own.
    """

    inputs: Any
    real: Array | None
    starts: Array | None
    keys: Any = None


class Rules(NamedTuple):
    """What is the same for all steps of a scan.

    Attributes:
      reset_carry: the carry from which a step starts that is one of :attr:`Steps.starts`.
      lengths: ``[...]``, they say the same as the mask, where they are known.
      implementation: the one that runs, once it is chosen.
      carries: whether outputs are to be ``(outputs, carries)``, with the carry after each step, ``[T, ..., H]``.
    """

    reset_carry: Carry
    noise: Noise
    step_dropout: float
    zoneout: Any
    train: bool
    reverse: bool
    unroll: int
    remat: int | str | None
    lengths: Array | None = None
    implementation: "Implementation | None" = None
    carries: bool = False


@dataclass(frozen=True)
class Implementation:
    """A way to run a recurrence over time; a row of :data:`rnnjax.layers.implementations.IMPLEMENTATIONS`.

    Attributes:
      name: as in ``RNN(..., implementation=name)``.
      good_on: whether ``"auto"`` may take it on a backend of JAX (``"cpu"``, ``"gpu"``, ``"tpu"``).
      obstacle: ``(cell, steps, rules)``, of the whole sequence, give the reason why it cannot run, or None where it
        can. The reason continues the sentence "it cannot run here: ...".
      run: ``(cell, carry, steps, rules)`` give ``(carry, outputs [T, ..., H])``, with each row's carry after its own
        last real step. ``steps.inputs`` are the cell's inputs, not projected yet. Outputs at steps that are not real
        may hold anything finite or not: they are made zero afterwards, when outputs also get their dtype.
      carries: whether it gives the carry of each step where :attr:`Rules.carries` asks for it.
    """

    name: str
    good_on: Callable[[str], bool]
    obstacle: Callable[[RecurrentCell, Steps, Rules], str | None]
    run: Callable[[RecurrentCell, Carry, Steps, Rules], tuple[Carry, Any]]
    carries: bool = False

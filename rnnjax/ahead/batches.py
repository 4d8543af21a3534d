"""The largest batch whose training step fits into a machine's memory."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from rnnjax.ahead import memory, steps
from rnnjax.ahead.machines import Machine
from rnnjax.data import Dataset
from rnnjax.errors import UsageError

COMPILATIONS = 10
"""Most that a search takes."""


class Tried(NamedTuple):
    """A batch size that was compiled: bytes a device that it takes (None if unknown), and whether they fit."""

    batch_size: int
    bytes: int | None
    fits: bool


def search(
    experiment: Any, dataset: Dataset, machine: Machine, report: Callable[[Tried], None] = lambda tried: None
) -> list[Tried]:
    """Compiles the training step at up to ten batch sizes, the largest that fits among them.

    Args:
      experiment: its batch size is where the search begins.
      dataset: what its data section loaded; a batch is not larger than its training split.
      machine: what is compiled for.
      report: told of each.

    Returns:
      What was tried, in that order.

    Raises:
      UsageError: if there are more devices than training examples.
    """
    unit = machine.count * experiment.train.accumulate
    most = len(dataset.train) // unit

    def tried(units: int) -> Tried:
        made = _tried(experiment, dataset, machine, units * unit)
        report(made)
        return made

    if not most:
        raise UsageError(
            f"the training split of {len(dataset.train)} examples has none for each of {machine.count} devices"
        )
    return converge(tried, min(most, max(1, experiment.data.batch_size // unit)), most, int(machine.chip["memory"]))


def converge(tried: Callable[[int], Tried], first: int, most: int, available: int) -> list[Tried]:
    """Tries numbers of units, 1 to ``most``, until the largest that fits is known to 3 %, or ten were tried.

    Memory grows with the batch by a straight line, nearly: two points say where it meets what is available, and the
    third lies there. From then on the range is halved, since a compiler that runs short computes some things twice.

    Args:
      tried: of a number of units, what became of it.
      first: number to begin with.
      most: largest number.
      available: bytes.
    """
    points: dict[int, Tried] = {}
    below, above = 0, most + 1  # fits, and does not fit
    guess = first
    while len(points) < COMPILATIONS and below < guess < above:
        points[guess] = tried(guess)
        below, above = (guess, above) if points[guess].fits else (below, guess)
        if above - below <= max(1, below // 33):
            break
        guess = _next(points, below, above, available)
    return list(points.values())


def _next(points: dict[int, Tried], below: int, above: int, available: int) -> int:
    known = sorted((units, made.bytes) for units, made in points.items() if made.bytes is not None)
    if len(points) == 1:
        return min(2 * below, above - 1) if below else above // 2
    guess = (below + above) // 2
    if len(points) == 2 and len(known) == 2:
        (low, less), (high, more) = known
        slope = (more - less) / (high - low)
        guess = int(high + (available - more) / slope) if slope > 0 else above
    return _rounded(min(max(guess, below + 1), above - 1), below, above)


def _rounded(guess: int, below: int, above: int) -> int:
    """The number to two digits, where that still lies between the others."""
    unit = 10 ** max(0, len(str(guess)) - 2)
    return max((n for n in (guess // unit * unit, -(-guess // unit) * unit) if below < n < above), default=guess)


def best(tried: list[Tried]) -> int | None:
    """The largest batch size that fits; None if none of them does."""
    return max((each.batch_size for each in tried if each.fits), default=None)


def with_batch(experiment: Any, batch_size: int) -> Any:
    """The experiment at another batch size."""
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, batch_size=batch_size))


def _tried(experiment: Any, dataset: Dataset, machine: Machine, batch_size: int) -> Tried:
    program = steps.runner(with_batch(experiment, batch_size), dataset, machine)
    (step,) = steps.compiled(program, ("train",))
    kept = memory.of(step, machine.chip)
    return Tried(batch_size, step.needed if kept is None else kept.together, memory.fits(step, machine.chip))

"""Times calls in turn: order shuffled in every round, one untimed call after each switch, all samples kept."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

Build = Callable[[], Callable[[], Any]]
Clock = Callable[[], float]

PAUSE = 0.02
"""Seconds of sleep before each switch, in which the threads of the call before come to rest."""
FEWEST = 3
"""Samples that the slowest call still gets, if it can be called at all."""


@dataclasses.dataclass
class Entry:
    """One thing to be timed, and what became of it.

    Attributes:
      row: what it is, for the result file.
      build: makes the call; the call blocks until its result is there.
      samples: seconds, one a round.
      first_seconds: of the first call, compilation included; what ``build`` takes is not in it.
      value: the first call's result when it is a number (the loss).
      error: why there are no samples, or not all of them: "not installed", "failed: ...".
    """

    row: dict[str, Any]
    build: Build | None
    samples: list[float] = dataclasses.field(default_factory=list)
    first_seconds: float | None = None
    value: float | None = None
    error: str | None = None

    def result(self) -> dict[str, Any]:
        """The row of the result file."""
        return self.row | {
            "samples": self.samples,
            "first_call_seconds": self.first_seconds,
            "first_loss": self.value,
            "error": self.error,
        }


def first_line(error: BaseException) -> str:
    """What a table shows of an exception."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def measure(
    entries: Sequence[Entry],
    *,
    samples: int,
    seconds: float,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Times the entries against one another; what fails is marked so and the others go on.

    Args:
      entries: filled with what is measured, also when this is interrupted.
      samples: rounds. An entry too slow for that many gets fewer, but no fewer than three.
      seconds: about how long all of it may take, building and first calls included; it decides who is too slow.
      seed: of the orders.
      clock, sleep: for tests.
    """
    began = clock()
    calls = {place: call for place, entry in enumerate(entries) if (call := _first(entry, clock)) is not None}
    costs = {
        place: cost for place, call in calls.items() if (cost := _attempt(entries[place], call, clock)) is not None
    }
    quota = quotas(costs, samples, seconds - (clock() - began))
    order = random.Random(seed)
    for number in range(samples):
        places = [place for place in quota if _takes_part(number, quota[place], samples)]
        order.shuffle(places)
        for place in places:
            if entries[place].error is not None:
                continue
            sleep(PAUSE)
            if _attempt(entries[place], calls[place], clock) is None:  # the untimed one: caches and threads are its own
                continue
            taken = _attempt(entries[place], calls[place], clock)
            if taken is not None:
                entries[place].samples.append(taken)


def _takes_part(number: int, quota: int, rounds: int) -> bool:
    """Whether an entry of ``quota`` samples has one in this round; they are spread over all rounds."""
    return (number + 1) * quota // rounds > number * quota // rounds


def quotas(costs: dict[Any, float], samples: int, seconds: float) -> dict[Any, int]:
    """How many samples each entry gets, by the cost of one call: an equal share of the time for each.

    A sample costs two calls and a pause. What quick entries leave of their shares goes to slow ones.
    """
    quota: dict[Any, int] = {}
    left, waiting = seconds, sorted(costs, key=costs.__getitem__)
    while waiting:
        place = waiting.pop(0)
        cost = 2 * costs[place] + PAUSE
        share = left / (len(waiting) + 1)
        quota[place] = min(samples, max(FEWEST, int(share / cost)))
        left -= quota[place] * cost
    return quota


def _first(entry: Entry, clock: Clock) -> Callable[[], Any] | None:
    """The entry's call, after its first time; None when it cannot be had."""
    if entry.build is None:
        return None
    try:
        call = entry.build()
        start = clock()
        value = call()
        entry.first_seconds = clock() - start
    except ModuleNotFoundError as error:
        entry.error = f"not installed ({error.name})"
        return None
    except Exception as error:  # a peer that fails is a result
        entry.error = f"failed: {first_line(error)}"
        return None
    if getattr(value, "ndim", 0) == 0:  # a loss, not logits
        entry.value = float(value)
    return call


def _attempt(entry: Entry, call: Callable[[], Any], clock: Clock) -> float | None:
    """Seconds of one call, None if it failed."""
    try:
        start = clock()
        call()
        return clock() - start
    except Exception as error:
        entry.error = f"failed: {first_line(error)}"
        return None

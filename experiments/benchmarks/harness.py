"""Times calls in turn: order shuffled in every round, one untimed call after each switch, all samples kept."""

import dataclasses
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

Build = Callable[[], Callable[[], Any]]
Clock = Callable[[], float]

PAUSE = 0.02
"""Seconds of sleep before each switch, in which the threads of the call before come to rest."""
TIMED = 2
"""Timed calls of a turn."""
SLOW = 2.0
"""Seconds of a call above which it is timed once a turn."""


@dataclasses.dataclass
class Entry:
    """One thing to be timed, and what became of it.

    Attributes:
      row: what it is, for the result file.
      build: makes the call; the call blocks until its result is there.
      samples: seconds, in the order of time.
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


def why_failed(process: subprocess.CompletedProcess[str]) -> str:
    """What a table shows of a process that ended with another exit code than 0: the last that it said."""
    said = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
    return f"failed: {said[-1]}"


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

    In every round each entry has its turn, in an order drawn anew: a pause, one untimed call that
    brings its data into the caches and its threads to life, and two timed ones.

    Args:
      entries: filled with what is measured, also when this is interrupted.
      samples: of each entry. One that is too slow for that many has no turn in some of the rounds;
        all have one in the first.
      seconds: about how long all of it may take, building and first calls included; it decides who is too slow.
      seed: of the orders.
      clock, sleep: for tests.
    """
    began = clock()
    calls = {place: call for place, entry in enumerate(entries) if (call := _first(entry, clock)) is not None}
    order, rounds = random.Random(seed), -(-samples // TIMED)
    turns = dict.fromkeys(calls, rounds)
    for number in range(rounds):
        if number == 1:
            costs = {place: min(entries[place].samples, default=0.0) for place in calls}
            turns = shares(costs, rounds - 1, seconds - (clock() - began))
        places = [place for place in calls if not number or _has_turn(number - 1, turns[place], rounds - 1)]
        order.shuffle(places)
        for place in places:
            sleep(PAUSE)
            _turn(entries[place], calls[place], samples, clock)


def _turn(entry: Entry, call: Callable[[], Any], samples: int, clock: Clock) -> None:
    """One untimed call and the timed ones; one of these when calls are slow."""
    untimed = _attempt(entry, call, clock)
    if untimed is None:
        return
    timed = 1 if untimed > SLOW else TIMED
    for _ in range(min(timed, samples - len(entry.samples))):
        taken = _attempt(entry, call, clock)
        if taken is not None:
            entry.samples.append(taken)


def _has_turn(number: int, turns: int, rounds: int) -> bool:
    """Whether an entry of so many turns has one in this round; they are spread over all rounds."""
    return (number + 1) * turns // rounds > number * turns // rounds


def shares(costs: dict[Any, float], rounds: int, seconds: float) -> dict[Any, int]:
    """How many turns each entry gets in ``seconds``, by the cost of one call: an equal share of the time for each.

    What quick entries leave of their shares goes to slow ones.
    """
    turns: dict[Any, int] = {}
    left, waiting = seconds, sorted(costs, key=costs.__getitem__)
    while waiting:
        place = waiting.pop(0)
        cost = (1 + TIMED) * costs[place] + PAUSE
        turns[place] = max(0, min(rounds, int(left / (len(waiting) + 1) / cost)))
        left -= turns[place] * cost
    return turns


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
    """Seconds of one call, None if it failed, now or before."""
    if entry.error is not None:
        return None
    try:
        start = clock()
        call()
        return clock() - start
    except Exception as error:
        entry.error = f"failed: {first_line(error)}"
        return None

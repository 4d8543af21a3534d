"""A training step over simulated devices and over processes of this machine, each number in processes of its own."""

import dataclasses
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.growth_worker import Asked
from experiments.benchmarks.timings import quartiles

DEVICES, PROCESSES = (1, 2, 4, 8), (2, 4)
"""Devices of one process, and processes of one device each; one process of one device is the first of these."""
QUICK_DEVICES, QUICK_PROCESSES = (1, 2), (2,)
LOSSES = 3
"""Steps whose losses are compared."""
FARTHEST = 1e-4
"""How far from one device's a loss may be, as a share of it: float32, summed in another order."""
LONGEST = 600.0
"""Seconds after which the processes of a step are ended: one that failed leaves the others waiting."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Spread:
    """How a step is spread.

    Attributes:
      processes: how many.
      devices: of each.
    """

    processes: int
    devices: int

    @property
    def together(self) -> int:
        """Devices of all processes."""
        return self.processes * self.devices


def spreads(devices: Sequence[int], processes: Sequence[int]) -> list[Spread]:
    """All that is measured: one device first, which the others' losses are compared with."""
    return [*(Spread(1, number) for number in devices), *(Spread(number, 1) for number in processes)]


def measure(
    wanted: Sequence[Spread], *, batch: int, features: tuple[int, ...], samples: int, rounds: int, rows: list[Row]
) -> None:
    """Measures every spread once a round, in an order drawn anew, and fills ``rows`` with one of each.

    Args:
      wanted: of which the first is one device.
      batch, features: of the experiment.
      samples: of each, of all rounds together.
      rounds: how often the processes are started.
      rows: filled as it goes, also when this is interrupted.
    """
    rows += [_row(spread) for spread in wanted]
    order, places = random.Random(0), list(range(len(wanted)))
    for number in range(rounds):
        order.shuffle(places)
        here = samples * (number + 1) // rounds - samples * number // rounds
        for place in places:
            if rows[place]["error"] is None:
                asked = Asked(
                    wanted[place].devices, wanted[place].processes, 0, "", batch, features, LOSSES, here, number
                )
                _add(rows[place], _answers(asked))
    compare(rows)


def compare(rows: Sequence[Row]) -> None:
    """Adds how far the losses are from the first row's; what is too far loses its times and says so."""
    first = rows[0]["losses"]
    for row in rows:
        if not first or not row["losses"]:
            continue
        row["apart"] = max(abs(one - other) / abs(other) for one, other in zip(row["losses"], first, strict=True))
        if not row["apart"] <= FARTHEST:  # a NaN is too far
            said = f"failed: its losses are {row['apart']:.1e} apart from one device's"
            row.update(seconds={"step": [], "exchange": []}, share=None, error=said)


def share(seconds: dict[str, list[float]]) -> float | None:
    """The median of an exchange alone as a share of a step's; None where nothing was exchanged."""
    if not seconds["exchange"] or not seconds["step"]:
        return None
    return quartiles(seconds["exchange"])[1] / quartiles(seconds["step"])[1]


def _row(spread: Spread) -> Row:
    row: Row = {"processes": spread.processes, "devices": spread.devices, "together": spread.together}
    row |= dict.fromkeys(("ran", "exchanged", "losses", "apart", "share", "error"))
    return row | {"seconds": {"step": [], "exchange": []}}


def _add(row: Row, answers: Sequence[dict[str, Any]] | str) -> None:
    """Adds what the processes of a step answered: the times are process 0's, which waits for the others at each."""
    if isinstance(answers, str):
        row["error"] = f"failed: {answers}"
        return
    first = answers[0]
    row.update(ran=", ".join(first["ran"]), exchanged=first["exchanged"], losses=first["losses"])
    for name, taken in first["seconds"].items():
        row["seconds"][name] += taken
    row["share"] = share(row["seconds"])


def _answers(asked: Asked) -> list[dict[str, Any]] | str:
    """What all processes of a step answer; a sentence where one of them failed."""
    coordinator = f"localhost:{_free_port()}" if asked.processes > 1 else ""
    each = [dataclasses.replace(asked, process=number, coordinator=coordinator) for number in range(asked.processes)]
    started = [_started(one) for one in each]
    try:
        ended = [(process, *process.communicate(timeout=LONGEST)) for process in started]
    except subprocess.TimeoutExpired:
        return f"no answer in {LONGEST:.0f} s"
    finally:
        for process in started:
            process.kill()
            process.communicate()
    return read(ended)


def read(ended: Iterable[tuple[Any, str, str]]) -> list[dict[str, Any]] | str:
    """The answers in what ended processes wrote; a sentence where one of them failed."""
    answers = []
    for process, out, said in ended:
        if process.returncode:
            return (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        answers.append(json.loads(out.splitlines()[-1]))
    return answers


def _started(asked: Asked) -> subprocess.Popen[str]:
    """One process. The devices are the CPU's, also where there is an accelerator."""
    command = [sys.executable, "-m", "experiments.benchmarks.growth_worker", json.dumps(dataclasses.asdict(asked))]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).resolve().parents[2],
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]

"""Generation in processes whose XLA computes larger loops whole, beside one that computes them as by default."""

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import harness, record, step_streams

THRESHOLDS = (None, 65536, 1048576)
"""Bytes of a loop below which XLA computes it whole; None: XLA's own."""
FLAG = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold={}"
"""XLA refuses no unknown option of this kind; whether it heeded one is seen in the compiled text."""
ROUNDS = 2
FARTHEST = 1e-4
"""How far the sums of all outputs' sizes may be apart, as a share."""

Row = dict[str, Any]


def measure(cells: Sequence[str], widths: Sequence[int], samples: int, rounds: int, rows: list[Row]) -> None:
    """Starts a process for each threshold in each round, in an order drawn anew, and adds a row for each of its loops.

    What answers otherwise than the process without the flag is marked so, and its samples are dropped.
    """
    order = random.Random(0)
    found: dict[tuple[str, int, int | None], Row] = {}
    try:
        for threshold in itertools.chain(*(order.sample(THRESHOLDS, len(THRESHOLDS)) for _ in range(rounds))):
            for row in in_a_child(threshold, cells, widths, samples):
                key = row["cell"], row["features"], threshold
                if key not in found:
                    found[key] = row | {"threshold": threshold}
                    rows.append(found[key])
                else:
                    found[key]["samples"] += row["samples"]
                    found[key]["error"] = found[key]["error"] or row["error"]
    finally:
        for (cell, H, _), row in found.items():
            _compare(row, found.get((cell, H, None)))


def _compare(row: Row, usual: Row | None) -> None:
    theirs = usual["answer"] if usual else None
    if row["error"] is None and theirs is not None and not abs(row["answer"] - theirs) <= FARTHEST * abs(theirs):
        row |= {"samples": [], "error": f"failed: it answers {row['answer']:g}, not {theirs:g} as without the flag"}


def in_a_child(threshold: int | None, cells: Sequence[str], widths: Sequence[int], samples: int) -> list[Row]:
    """The rows that a process with this threshold measures; one that dies is marked so in each of them."""
    asked = [[cell, H] for cell in cells for H in widths]
    flags = os.environ.get("XLA_FLAGS", "") + ("" if threshold is None else f" {FLAG.format(threshold)}")
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps([asked, samples])],
        capture_output=True, text=True, check=False, env=os.environ | {"XLA_FLAGS": flags.strip()},
    )  # fmt: skip
    if done.returncode:
        empty = {"steps": step_streams.STEPS, "one_call": None, "answer": None, "samples": []}
        empty |= {"error": harness.why_failed(done)}
        return [{"cell": cell, "features": H, **empty} for cell, H in asked]
    return json.loads(done.stdout.splitlines()[-1])


def here(asked: Sequence[Sequence[Any]], samples: int) -> list[Row]:
    """What a child does: our generation alone, all cells and widths in turn."""
    entries, answers = [], []
    for cell, H in asked:
        answers.append([])
        entries.append(step_streams.generation(cell, H, step_streams.OURS, answers[-1]))
    harness.measure(entries, samples=samples, seconds=60.0)
    rows = []
    for entry, answer in zip(entries, answers, strict=True):
        kept = {key: entry.row[key] for key in ("cell", "features", "steps", "one_call")}
        size = float(abs(answer[0]).sum()) if answer else None
        rows.append(kept | {"answer": size, "samples": entry.samples, "error": entry.error})
    return rows


if __name__ == "__main__":
    record.start(1)
    asked, samples = json.loads(sys.argv[1])
    print(json.dumps(here(asked, samples)))

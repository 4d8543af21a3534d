"""How long the steps of a real training wait for data, by the run's own record."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXPERIMENTS = ("mnist_rows", "imdb_lstm")
QUICK = ("digits_rows",)
"""Whose data need not be prepared."""
GOAL = 0.02
"""Largest share of the time that steps may wait."""


def measure(experiment: str, epochs: int) -> dict[str, Any]:
    """The row of a run of so many epochs, in a process of its own; one that fails, as without data, is marked so."""
    row: dict[str, Any] = {"experiment": experiment, "epochs": epochs}
    row |= dict.fromkeys(("steps", "examples_per_second", "input_wait", "by_epoch", "error"))
    with tempfile.TemporaryDirectory() as folder:
        options = ["--seeds", "0", "--runs-dir", folder, "--train.epochs", str(epochs)]
        command = [sys.executable, "-m", f"experiments.{experiment}", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return row | {"error": f"failed: {_reason(done.stderr) or f'exit code {done.returncode}'}"}
        return row | _record(Path(folder) / experiment / "seed-0")


def evaluate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals, with what was measured."""
    goals = []
    for row in rows:
        measured = row["input_wait"]
        what = f"{row['experiment']}: share of the time that steps wait for data"
        reached = None if measured is None else measured < GOAL
        goals.append({"what": what, "goal": GOAL, "measured": measured, "shapes": 1, "reached": reached})
    return goals


def _record(run: Path) -> dict[str, Any]:
    """What a run says of its time without the first calls, which compile: of all of it, and of each epoch."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {name: result[name] for name in ("steps", "examples_per_second", "input_wait")}
    return found | {"by_epoch": [epoch.get("input_wait") for epoch in epochs]}


def _reason(said: str) -> str:
    """The first line that begins as errors do, else the last one."""
    lines = said.strip().splitlines()
    return next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), (lines or [""])[-1])

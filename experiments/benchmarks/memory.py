"""The part ``memory``: temporaries of a compiled gradient over the number of steps T."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import charts, record, terminal
from experiments.benchmarks.harness import first_line
from experiments.benchmarks.task import Shape, Task
from rnnjax.errors import UsageError

CELLS = ("lstm", "gru", "rnn")
GOALS = {"lstm": 0.65, "gru": 1.1, "rnn": 1.1}
"""Most of Flax's temporaries that the fused recurrence may need, at the largest T."""
PEERS = {
    "rnnjax fused": {"implementation": "fused"},
    "rnnjax scan": {"implementation": "scan"},
    "rnnjax sqrt": {"implementation": "auto", "remat": "sqrt"},
    "flax": {},
}
"""Who is measured, with the options of ``rnnjax.RNN``; ``rnnjax sqrt`` recomputes chunks of √T steps."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Shows the temporary memory of the gradient of a classifier, as compiled; nothing is executed."""

    steps: tuple[int, ...] = (25, 50, 100, 200, 400, 800)
    """Numbers of steps T."""
    batch: int = 64
    """Batch size B."""
    inputs: int = 128
    """Input features D."""
    features: int = 128
    """Hidden features H."""
    out: Path | None = None
    """Result file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("memory", Options, arguments))


def run(options: Options) -> int:
    """Compiles, shows and writes; returns the exit code."""
    if not options.steps or min(*options.steps, options.batch, options.inputs, options.features) < 1:
        raise UsageError("--steps, --batch, --inputs and --features must be positive")
    record.start(1)
    steps, rows, partial = sorted(set(options.steps)), [], False
    try:
        for cell in CELLS:
            for T in steps:
                task = Task(cell, "plain", "train", Shape(options.batch, T, options.inputs, options.features))
                rows += [_row(task, peer) for peer in PEERS]
    except KeyboardInterrupt:
        partial = True
    goals = evaluate(rows)
    result = {"part": "memory", "partial": partial, **record.circumstances(), "goals": goals, "rows": rows}
    console = terminal.console()
    console.print(_table(rows, steps), terminal.of_goals(goals, "goals (at the largest T)"), sep="\n")
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("memory", options.out, whole=whole)
    record.write(result, path)
    lines = [row | {"panel": row["cell"], "line": row["peer"], "value": _mebibytes(row)} for row in rows]
    plots = charts.over_steps(lines, path, [cell for cell in CELLS if any(row["cell"] == cell for row in rows)], "MiB")
    console.print(f"written: {', '.join(map(str, [path, *plots]))}", soft_wrap=True)
    return 130 if partial else 0


def temporaries(task: Task, peer: str) -> int:
    """Bytes that the compiled loss and gradient need beside their arguments and results."""
    from experiments.benchmarks import peers_jax

    make = peers_jax.flax_layer if peer == "flax" else peers_jax.rnnjax_layer
    layer = make(task, **PEERS[peer])
    params, _, loss = peers_jax.make_loss(task, layer)
    arguments = jax.eval_shape(lambda: (params, task.inputs, task.lengths, task.labels))
    compiled = jax.jit(jax.value_and_grad(loss)).lower(*arguments).compile()
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise UsageError("JAX gives no memory analysis on this device")
    return analysis.temp_size_in_bytes


def evaluate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals with what was measured, at the largest T at which both sides were."""
    sizes = {(row["cell"], row["peer"], row["T"]): row["bytes"] for row in rows if row["bytes"]}
    goals = []
    for cell, goal in GOALS.items():
        both = [T for c, p, T in sizes if (c, p) == (cell, "rnnjax fused") and (cell, "flax", T) in sizes]
        T = max(both, default=0)
        measured = sizes[cell, "rnnjax fused", T] / sizes[cell, "flax", T] if T else None
        what = f"{_title(cell)}: temporaries of the gradient / Flax's" + f", T = {T}" * bool(T)
        reached = None if measured is None else measured <= goal
        goals.append({"what": what, "goal": goal, "measured": measured, "shapes": int(bool(T)), "reached": reached})
    return goals


def _row(task: Task, peer: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cell": task.cell,
        "peer": peer,
        **dataclasses.asdict(task.shape),
        "bytes": None,
        "error": None,
    }
    try:
        row["bytes"] = temporaries(task, peer)
    except Exception as error:  # a peer that fails is a result
        row["error"] = f"failed: {first_line(error)}"
    return row


def _mebibytes(row: dict[str, Any]) -> float | None:
    return None if row["bytes"] is None else row["bytes"] / 2**20


def _title(cell: str) -> str:
    return "SimpleRNN" if cell == "rnn" else cell.upper()


def _table(rows: Sequence[dict[str, Any]], steps: Sequence[int]) -> Any:
    lines = []
    for cell, peer in dict.fromkeys((row["cell"], row["peer"]) for row in rows):
        found = {row["T"]: row for row in rows if (row["cell"], row["peer"]) == (cell, peer)}
        sizes = [_mebibytes(found[T]) if T in found else None for T in steps]
        failed = next((row["error"] for row in found.values() if row["error"]), "")
        lines.append([_title(cell), peer, *("" if size is None else f"{size:.1f}" for size in sizes), failed])
    columns = ["cell", "peer", *(f"T = {T}" for T in steps), ""]
    return terminal.make("temporaries of the compiled gradient, MiB", columns, lines, left=2)

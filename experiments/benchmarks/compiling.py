"""The part ``compile``: seconds to compile a training step, and to the end of the first, over the number of steps T."""

import dataclasses
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import charts, peers, record, terminal
from experiments.benchmarks.harness import first_line
from experiments.benchmarks.task import Shape, Task
from experiments.benchmarks.timings import quartiles
from rnnjax.errors import UsageError

PEERS = ("rnnjax fused", "rnnjax scan", "flax", "equinox", "keras", "torch")
UNROLLED = PEERS[:4]
"""Peers that can lay several steps into one iteration of the loop."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Times lowering and compilation of a training step of an LSTM, and the whole way to the end of the first step.

    The way begins with the model's construction; imports are not in it.
    """

    steps: tuple[int, ...] = (25, 100, 400)
    """Numbers of steps T."""
    unroll: tuple[int, ...] = (1, 4)
    """Steps in one iteration of the compiled loop."""
    batch: int = 32
    """Batch size B."""
    inputs: int = 128
    """Input features D."""
    features: int = 128
    """Hidden features H."""
    repeats: int = 3
    """How often, each time in another order, with new functions and JAX's caches cleared; medians are shown."""
    out: Path | None = None
    """Result file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("compile", Options, arguments))


def run(options: Options) -> int:
    """Measures, shows and writes; returns the exit code."""
    sizes = (*options.steps, *options.unroll, options.batch, options.inputs, options.features, options.repeats)
    if min(map(len, (options.steps, options.unroll))) < 1 or min(sizes) < 1:
        raise UsageError("--steps, --unroll, --batch, --inputs, --features and --repeats must be positive")
    load = record.start(1)
    rows, partial = _rows(options), False
    try:
        _warm_up(rows)
        order = random.Random(0)
        for _ in range(options.repeats):  # in turn, so that what disturbs one repeat disturbs all peers
            for row in order.sample(rows, len(rows)):  # and none always follows the same one
                _repeat(row)
    except KeyboardInterrupt:
        partial = True
    result = {"part": "compile", "partial": partial, "load_at_start": load, **record.circumstances(), "rows": rows}
    console = terminal.console()
    console.print(_table(rows))
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("compile", options.out, whole=whole)
    record.write(result, path)
    lines = [
        row | {"panel": f"unroll {row['unroll']}", "line": row["peer"], "value": _median(row, "first_step_seconds")}
        for row in rows
    ]
    panels = [f"unroll {unroll}" for unroll in dict.fromkeys(row["unroll"] for row in rows)]
    plots = charts.over_steps(lines, path, panels, "seconds to the end of the first step")
    console.print(f"written: {', '.join(map(str, [path, *plots]))}", soft_wrap=True)
    return 130 if partial else 0


def _rows(options: Options) -> list[dict[str, Any]]:
    return [
        {"peer": peer, "unroll": unroll, "B": options.batch, "T": T, "D": options.inputs, "H": options.features}
        | {"lower_and_compile_seconds": [], "first_step_seconds": [], "error": None}
        for unroll in dict.fromkeys(options.unroll)
        for T in sorted(set(options.steps))
        for peer in PEERS
        if unroll == 1 or peer in UNROLLED
    ]


def _task(row: dict[str, Any]) -> Task:
    return Task("lstm", "plain", "train", Shape(row["B"], row["T"], row["D"], row["H"]))


def _warm_up(rows: Sequence[dict[str, Any]]) -> None:
    """Imports every peer and lets it run once at a tiny shape: what a process does once is not compilation."""
    for peer in dict.fromkeys(row["peer"] for row in rows):
        try:
            peers.make_call(peer, Task("lstm", "plain", "train", Shape(2, 2, 2, 2)))()
        except ModuleNotFoundError as error:
            message = f"not installed ({error.name})"
        except Exception as error:  # a peer that fails is a result
            message = f"failed: {first_line(error)}"
        else:
            continue
        for row in rows:
            row["error"] = message if row["peer"] == peer else row["error"]


def _repeat(row: dict[str, Any]) -> None:
    """Adds one sample to the row."""
    if row["error"] is not None:
        return
    jax.clear_caches()
    task = _task(row)
    _ = task.inputs, task.labels, task.weights  # drawing them is no part of it
    try:
        began = time.perf_counter()
        call, compiling = (
            _compiled(task, row) if row["peer"] in UNROLLED else (peers.make_call(row["peer"], task), None)
        )
        call()
        row["first_step_seconds"].append(time.perf_counter() - began)
    except Exception as error:  # a peer that fails is a result
        row["error"] = f"failed: {first_line(error)}"
        return
    if compiling is not None:
        row["lower_and_compile_seconds"].append(compiling)


def _compiled(task: Task, row: dict[str, Any]) -> tuple[Callable[[], Any], float]:
    """One step of a JAX peer, compiled ahead, and the seconds that this took."""
    from experiments.benchmarks import peers_jax

    peer, unroll = row["peer"], row["unroll"]
    if peer in peers.RNNJAX:
        layer = peers_jax.rnnjax_layer(task, implementation=peers.RNNJAX[peer], unroll=unroll)
    else:
        layer = {"flax": peers_jax.flax_layer, "equinox": peers_jax.equinox_layer}[peer](task, unroll=unroll)
    params, _, loss = peers_jax.make_loss(task, layer)
    optimizer, step = peers_jax.make_step(loss)
    params = jax.tree.map(jax.numpy.array, params)
    arguments = (params, jax.jit(optimizer.init)(params), task.inputs, task.lengths, task.labels)
    began = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).compile()
    seconds = time.perf_counter() - began
    return lambda: jax.block_until_ready(compiled(*arguments)), seconds


def _median(row: dict[str, Any], name: str) -> float | None:
    return quartiles(row[name])[1] if row[name] else None


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    lines = []
    for row in rows:
        medians = [_median(row, name) for name in ("lower_and_compile_seconds", "first_step_seconds")]
        shown = ["" if value is None else f"{value:.2f}" for value in medians]
        lines.append([row["peer"], str(row["unroll"]), str(row["T"]), *shown, row["error"] or ""])
    columns = ["peer", "unroll", "T", "lower + compile, s", "to the end of the first step, s", ""]
    return terminal.make("LSTM training step, medians", columns, lines)

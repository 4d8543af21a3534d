"""The part ``ragged``: training on sequences of unequal lengths, packed into rows with resets, and padded."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from experiments.benchmarks import harness, memory_limit, ragged_show, record, terminal
from experiments.benchmarks.ragged_task import (
    ENDS,
    KINDS,
    MEDIAN,
    SHORTEST,
    SIGMA,
    Gradient,
    Kind,
    Peer,
    Ragged,
    distance,
)
from experiments.benchmarks.task import Shape
from rnnjax.errors import UsageError

SHAPES = ("32,400,64,64", "64,400,128,128")
EPISODE_SHAPES = ("32,128,64,64", "64,128,128,128")
PADDED = ("rnnjax padded", "torch packed", "torch padded")
PACKED = ("rnnjax packed", "rnnjax, packing included", "rnnjax.pack")
REFERENCE = "flax padded"
"""Whose loss and gradient the others are compared with; it is the first."""
PEERS: dict[str, tuple[str, ...]] = {
    "lognormal": (REFERENCE, *PACKED, *PADDED),
    "uniform": (REFERENCE, *PACKED, *PADDED),
    "episodes": (REFERENCE, "rnnjax resets", *PADDED),
}
"""Who is timed with which sequences."""
FARTHEST = {"loss": 1e-5, "gradient": 1e-3}
"""How far from these another's may be, as shares of them: float32 over hundreds of steps, summed up in other orders."""
HOW = (
    "A layer, a dense head of ten classes at every step, the mean cross-entropy of all real steps, and its gradient by "
    "all parameters; no optimizer. The first loss and gradient of every peer are compared with Flax's, and what "
    "differs is not timed. Lengths: log-normal as those of IMDB's reviews "
    f"(median {MEDIAN:g} T, deviation of the logarithms {SIGMA:g}), or uniform, both within T / {1 / SHORTEST:g} to T. "
    "Padded, each sequence has as many steps as the longest. rnnjax packs into rows of that many steps: rnnjax.pack on "
    "the host, the sequences' way into the rows inside of the compiled step. PyTorch's packing is timed with its step. "
    f"Resets: rows of T steps inside of which {ENDS} episodes end on average; the other peers, PyTorch's packed one "
    "too, are handed these episodes cut beforehand, which is not timed. On two devices each has half of the "
    "sequences; PyTorch has all threads without that."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Times loss and gradient of a recurrent layer over ragged batches, and over rows with resets inside.

    By default a choice runs that fits in about --minutes and is written to experiments/results/benchmarks; with any
    other option than --out the result is written to runs/benchmarks.
    """

    cells: tuple[Literal["lstm", "gru"], ...] = ("lstm",)
    """Cells: lstm, gru."""
    kinds: tuple[Kind, ...] = KINDS
    """Sequences: lognormal and uniform lengths, and episodes one after the other in full rows."""
    shapes: tuple[str, ...] | None = None
    """Shapes as B,T,D,H: sequences (or rows of episodes), the longest, input features, hidden features."""
    samples: int = 10
    """Samples of each; what is too slow for the time gets fewer."""
    minutes: float = 3.6
    """About how long it may take, compilation included."""
    out: Path | None = None
    """Result file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("ragged", Options, arguments))


def run(options: Options) -> int:
    """Times, shows and writes; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for a malformed shape, or one that would not fit into memory.
    """
    if options.samples < 1:
        raise UsageError(f"--samples must be positive, got {options.samples}")
    began = time.monotonic()
    load = record.start(2)
    tasks = _tasks(options)
    free = memory_limit.available()
    memory_limit.check([task.layer for task in tasks], free)  # before lengths are drawn
    memory_limit.check([task.padded() for task in tasks], free)
    rows, partial, console = [], False, terminal.console()
    try:
        for number, task in enumerate(tasks):
            left = 60 * options.minutes - (time.monotonic() - began)
            measured = _measure(task, options.samples, left / (len(tasks) - number), rows)
            console.print(ragged_show.of_task(measured))
            jax.clear_caches()  # what has been timed is not needed any more
    except KeyboardInterrupt:
        partial = True
        console.print("interrupted: what follows is partial")
    circumstances = {"load_at_start": load, "seconds": time.monotonic() - began, **record.circumstances()}
    result = {"part": "ragged", "partial": partial, "how": HOW, "samples": options.samples, **circumstances}
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("ragged", options.out, whole=whole)
    record.write(result | {"rows": rows}, path)
    console.print(f"{result['seconds']:.0f} s; written: {path}", soft_wrap=True)
    return 130 if partial else 0


def make(task: Ragged, peer: str, devices: int = 1) -> Peer:
    """A peer by its name.

    Raises:
      ModuleNotFoundError: if the peer is not installed.
    """
    if peer.startswith("torch"):
        from experiments.benchmarks import ragged_torch

        return ragged_torch.make(task, packed=peer == "torch packed")
    from experiments.benchmarks import ragged_jax

    return ragged_jax.make_packing(task) if peer == "rnnjax.pack" else ragged_jax.make(task, peer, devices)


def _tasks(options: Options) -> list[Ragged]:
    """All that is to be timed, the cheapest first: what it leaves of its time goes to the dearer."""
    if not options.kinds or not options.cells:
        raise UsageError("--kinds and --cells must name at least one each")
    tasks = [
        Ragged(kind, cell, Shape.parse(text))
        for cell in options.cells
        for kind in options.kinds
        for text in options.shapes or (EPISODE_SHAPES if kind == "episodes" else SHAPES)
    ]
    return sorted(dict.fromkeys(tasks), key=_cost)


def _cost(task: Ragged) -> int:
    """By PyTorch's packed sequences, which take the longest by far, and the more so the longer a sequence is."""
    return task.shape.B * task.shape.T**2 * task.shape.H


def _members(task: Ragged) -> list[tuple[str, int]]:
    """Peers with their numbers of devices; PyTorch has all threads on one, and the host packs alone."""
    several = 2 if jax.default_backend() == "cpu" else jax.local_device_count()
    mapped = [peer for peer in PEERS[task.kind] if not peer.startswith("torch") and peer != "rnnjax.pack"]
    return [(peer, 1) for peer in PEERS[task.kind]] + [(peer, several) for peer in mapped if several > 1]


def _measure(task: Ragged, samples: int, seconds: float, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Times the peers of a task against one another; adds their rows to ``rows`` and returns them."""
    answers: list[tuple[str, float, Gradient]] = []
    entries = [_entry(task, peer, devices, answers) for peer, devices in _members(task)]
    try:
        harness.measure(entries, samples=samples, seconds=seconds)
    finally:
        mine = [entry.result() for entry in entries]
        rows += mine
    return mine


def _entry(task: Ragged, name: str, devices: int, answers: list[tuple[str, float, Gradient]]) -> harness.Entry:
    """What is to be timed of a peer. Its first call, which is not timed, is compared with the first of ``answers``."""
    row: dict[str, Any] = {"kind": task.kind, "cell": task.cell, "shape": list(dataclasses.astuple(task.shape))}
    row |= {"sequences": len(task.lengths), "steps": task.steps, "longest": int(task.lengths.max())}
    row |= {"peer": name, "devices": devices}
    if name == "rnnjax resets" and task.shape.B % devices:
        return harness.Entry(row, None, error=f"{task.shape.B} rows do not divide over {devices} devices")

    def build() -> Callable[[], Any]:
        peer = make(task, name, devices)
        row["computed_steps"] = peer.computed_steps

        def call() -> Any:
            value = peer.call()
            if "implementation" not in row:
                row["implementation"] = peer.ran()
                if peer.gradient is not None:
                    _compare(row, float(value), peer.gradient(), answers)
            return value

        return call

    return harness.Entry(row, build)


def _compare(row: dict[str, Any], loss: float, gradient: Gradient, answers: list[tuple[str, float, Gradient]]) -> None:
    """Adds how far an answer is from the first one; raises ValueError if that is too far, so that it is not timed."""
    answers.append((terminal.peer_name(row), loss, gradient))
    name, first, reference = answers[0]
    apart = {"loss": abs(loss - first) / abs(first), "gradient": distance(gradient, reference)}
    row["apart"] = {"from": name, **apart}
    if not all(apart[part] <= most for part, most in FARTHEST.items()):  # a NaN is too far
        said = ", ".join(f"{part} {far:.1e}" for part, far in apart.items())
        raise ValueError(f"it computes something else than {name}: {said} apart")

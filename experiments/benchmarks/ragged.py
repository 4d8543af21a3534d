"""The part ``ragged``: training on sequences of unequal lengths, packed into rows with resets, and padded."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from experiments.benchmarks import harness, memory_limit, ragged_show, record, terminal
from experiments.benchmarks.ragged_task import KINDS, Kind, Ragged, Ready
from experiments.benchmarks.task import Shape
from rnnjax.errors import UsageError

SHAPES = ("32,400,64,64", "64,400,128,128", "32,400,128,256")
EPISODE_SHAPES = ("32,128,64,64", "64,128,128,128", "32,128,128,256")
PADDED = ("rnnjax padded", "flax padded", "torch packed", "torch padded")
PACKED = ("rnnjax packed", "rnnjax, packing included", "rnnjax.pack")
PEERS = {"lognormal": PACKED + PADDED, "uniform": PACKED + PADDED, "episodes": ("rnnjax resets", *PADDED)}
"""Who is timed with which sequences."""
REFERENCE = "flax padded"
"""Whose loss and gradient the others are compared with."""
FARTHEST = {"loss": 1e-5, "gradient": 1e-3}
"""How far from these another's may be, as shares of them: float32 over hundreds of steps, summed up in other orders."""
HOW = (
    "A layer, a dense head of ten classes at every step, the mean cross-entropy of all real steps, and its gradient by "
    "all parameters; no optimizer. Loss and gradient of every peer are compared with Flax's before anything is timed, "
    "and what differs is not timed. Lengths: log-normal with IMDB's median and deviation, or uniform, both within 10 "
    "to 400; padded peers compute as many steps of each sequence as the longest has. rnnjax packs into rows of that "
    "many steps: rnnjax.pack on the host, the sequences' way into the rows inside of the compiled step. PyTorch's "
    "packing is timed with it. Resets: rows of 128 steps in which four episodes end on average; the padded peers, "
    "PyTorch's packed one too, are handed these episodes cut beforehand, which is not timed."
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
    minutes: float = 3.5
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


def make(task: Ragged, peer: str, devices: int = 1) -> Ready:
    """A peer by its name, its first call done.

    Raises:
      ModuleNotFoundError: if the peer is not installed.
    """
    if peer.startswith("torch"):
        from experiments.benchmarks import ragged_torch

        return ragged_torch.make(task, packed=peer == "torch packed")
    from experiments.benchmarks import ragged_jax

    return ragged_jax.make_packing(task) if peer == "rnnjax.pack" else ragged_jax.make(task, peer, devices)


def _tasks(options: Options) -> list[Ragged]:
    """All that is to be timed, smaller shapes first: what they leave of their time goes to larger ones."""
    if not options.kinds or not options.cells:
        raise UsageError("--kinds and --cells must name at least one each")
    places = range(max(len(_shapes(kind, options)) for kind in options.kinds))
    return [
        Ragged(kind, cell, _shapes(kind, options)[place])
        for place in places
        for cell in dict.fromkeys(options.cells)
        for kind in dict.fromkeys(options.kinds)
    ]


def _shapes(kind: str, options: Options) -> list[Shape]:
    usual = EPISODE_SHAPES if kind == "episodes" else SHAPES
    return [Shape.parse(text) for text in (usual if options.shapes is None else options.shapes)]


def _members(task: Ragged) -> list[tuple[str, int]]:
    """Peers with their numbers of devices; PyTorch has all threads on one, and the host packs alone."""
    several = 2 if jax.default_backend() == "cpu" else jax.local_device_count()
    mapped = [peer for peer in PEERS[task.kind] if not peer.startswith("torch") and peer != "rnnjax.pack"]
    return [(peer, 1) for peer in PEERS[task.kind]] + [(peer, several) for peer in mapped if several > 1]


def _measure(task: Ragged, samples: int, seconds: float, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compares the peers, then times them against one another; adds their rows and returns them."""
    began, entries, made = time.monotonic(), [], {}
    for peer, devices in _members(task):
        entries.append(_entry(task, peer, devices, made))
    _compare(entries, made)
    try:
        harness.measure(entries, samples=samples, seconds=seconds - (time.monotonic() - began))
    finally:
        # The harness' first call is the peer's second.
        mine = [entry.result() | {"first_call_seconds": entry.row["first_call_seconds"]} for entry in entries]
        rows += mine
    return mine


def _entry(task: Ragged, peer: str, devices: int, made: dict[tuple[str, int], Ready]) -> harness.Entry:
    """What is to be timed of a peer; what it computed goes to ``made``, if it could."""
    row: dict[str, Any] = {"kind": task.kind, "cell": task.cell, "shape": list(dataclasses.astuple(task.shape))}
    row |= {"sequences": len(task.lengths), "steps": task.steps, "longest": int(task.lengths.max())}
    row |= {"peer": peer, "devices": devices, "first_call_seconds": None}
    entry = harness.Entry(row, None)
    try:
        ready = made[peer, devices] = make(task, peer, devices)
    except ModuleNotFoundError as error:
        entry.error = f"not installed ({error.name})"
    except UsageError as error:
        entry.error = str(error)
    except Exception as error:  # a peer that fails is a result
        entry.error = f"failed: {harness.first_line(error)}"
    else:
        entry.build = lambda: ready.call
        row |= {"implementation": ready.implementation, "computed_steps": ready.computed_steps}
        row["first_call_seconds"] = ready.first_seconds
    return entry


def _compare(entries: Sequence[harness.Entry], made: dict[tuple[str, int], Ready]) -> None:
    """Adds how far each is from the reference, or from the first that is there; what is too far is not timed."""
    answers = [key for key, ready in made.items() if ready.loss is not None]
    if not answers:
        return
    reference = (REFERENCE, 1) if (REFERENCE, 1) in made else answers[0]
    for entry in entries:
        key = entry.row["peer"], entry.row["devices"]
        apart = made[key].apart(made[reference]) if key in made else None
        if apart is None:
            continue
        entry.row["apart"] = {"from": reference[0], **apart}
        if not all(apart[name] <= most for name, most in FARTHEST.items()):  # a NaN is too far
            entry.build = None
            entry.error = "computes something else: " + ", ".join(f"{name} {far:.1e}" for name, far in apart.items())

"""The part ``long``: linear cells over many steps, as a loop, an associative scan and in chunks; and memory."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.benchmarks import harness, long_memory, long_show, record, terminal
from experiments.benchmarks.ragged_task import Gradient, distance
from experiments.benchmarks.task import Shape
from rnnjax.errors import UsageError

STEPS, BATCHES, FEATURES = (64, 256, 1024, 4096, 16384), (1, 16, 128), (64, 256)
QUICK_SHAPES, QUICK_TRAIN = ("2,16,3,4",), "2,16,1,4"
TRAIN = "16,65536,1,256"
IMPLEMENTATIONS = ("scan", "associative", "chunked")
"""The loop is the first, and the others' losses and gradients are compared with its own."""
FARTHEST = {"loss": 1e-4, "gradient": 1e-2}
"""How far from these another's may be, as shares of them: float32 over thousands of steps, in other orders."""
HOW = (
    "A layer of as many input features as hidden ones, the mean square of its outputs, and the gradient by all "
    "parameters; no optimizer. The implementations run in turn, in an order shuffled every round; that which ran is "
    "the one that the layer reported while it was traced, and an answer that differs from the loop's is not timed. "
    "Temporaries are those of the compiled program. One is ahead where its quartiles lie below the loop's, and it "
    "crosses over at the first T from which on it is ahead at every longer T that was measured. "
    "The head of a training step reads the last carry, or the last one of the outputs, which are then there for all "
    "steps; what needs more memory, as compiled, than is allowed is not run."
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Times loss and gradient of LRU and minGRU by steps and batch, for each way to run a linear recurrence.

    It also measures the most memory that a process takes for a training step over 65,536 steps, each in a process of
    its own. By default a choice runs that fits in about --minutes and is written to experiments/results/benchmarks;
    with any other option than --out the result is written to runs/benchmarks.
    """

    cells: tuple[Literal["lru", "min_gru"], ...] = ("lru", "min_gru")
    """Cells: lru, min_gru."""
    shapes: tuple[str, ...] | None = None
    """Shapes as B,T,D,H: batch, steps, input features, hidden features."""
    train: str | None = None
    """Shape of the training step whose memory is measured, as B,T,D,H."""
    memory: float = 3.0
    """GiB of inputs, results and temporaries above which, as compiled, something is not run."""
    samples: int = 10
    """Samples of each; what is too slow for the time gets fewer."""
    minutes: float = 40.0
    """About how long the timing may take, compilation included."""
    out: Path | None = None
    """Result file."""
    quick: bool = False
    """A tiny shape and few samples, to see that everything runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("long", Options, arguments))


def run(options: Options) -> int:
    """Times, measures, shows and writes; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for a malformed shape, no cell, or numbers that are not positive.
    """
    tasks, train = _tasks(options), Shape.parse(options.train or (QUICK_TRAIN if options.quick else TRAIN))
    if options.samples < 1 or not options.memory > 0:  # a NaN would allow any
        raise UsageError(f"--samples and --memory must be positive, got {options.samples} and {options.memory:g}")
    began, load = time.monotonic(), record.start(1)
    rows, training, partial, console = [], [], False, terminal.console()
    try:
        for number, (cell, shape) in enumerate(tasks):
            left = 60 * options.minutes - (time.monotonic() - began)
            measured = _measure(cell, shape, options, left / (len(tasks) - number), rows)
            console.print(long_show.of_task(measured))
            jax.clear_caches()  # what has been timed is not needed any more
        for cell, peer, reads in long_memory.TRAINED:
            training.append(long_memory.in_a_child(cell, peer, reads, train, options.memory))
        console.print(long_show.of_training(training))
    except KeyboardInterrupt:
        partial = True
        console.print("interrupted: what follows is partial")
    circumstances = {"load_at_start": load, "seconds": time.monotonic() - began, **record.circumstances()}
    result = {"part": "long", "partial": partial, "how": HOW, "samples": options.samples, "memory": options.memory}
    result |= circumstances | {"goals": long_memory.evaluate(training), "rows": rows, "training": training}
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("long", options.out, whole=whole)
    record.write(result, path)
    console.print(f"{result['seconds']:.0f} s; written: {path}", soft_wrap=True)
    return 130 if partial else 0


def _tasks(options: Options) -> list[tuple[str, Shape]]:
    """All that is to be timed, the cheapest first: what it leaves of its time goes to the dearer."""
    if not options.cells:
        raise UsageError("--cells must name at least one")
    grid = itertools.product(BATCHES, STEPS, FEATURES)
    texts = options.shapes or (QUICK_SHAPES if options.quick else [f"{B},{T},{H},{H}" for B, T, H in grid])
    tasks = dict.fromkeys((cell, Shape.parse(text)) for cell in options.cells for text in texts)
    return sorted(tasks, key=lambda task: task[1].B * task[1].T * task[1].H)


def _measure(
    cell: str, shape: Shape, options: Options, seconds: float, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Times the implementations against one another; adds their rows to ``rows`` and returns them."""
    inputs = functools.cache(lambda: jax.numpy.array(long_memory.inputs(shape)))
    answers: list[tuple[str, float, Gradient]] = []
    entries = [_entry(cell, shape, name, options.memory, inputs, answers) for name in IMPLEMENTATIONS]
    samples = min(options.samples, 2) if options.quick else options.samples
    try:
        harness.measure(entries, samples=samples, seconds=seconds)
    finally:
        mine = [entry.result() for entry in entries]
        rows += mine
    return mine


def _entry(
    cell: str,
    shape: Shape,
    implementation: str,
    most: float,
    inputs: Callable[[], jax.Array],
    answers: list[tuple[str, float, Gradient]],
) -> harness.Entry:
    """One implementation. It is compiled as it is built; its first call is compared with the first of ``answers``."""
    row: dict[str, Any] = {"cell": cell, "shape": list(dataclasses.astuple(shape)), "implementation": implementation}
    row |= {"ran": None, "temporaries": None, "needed": None}

    def build() -> Callable[[], Any]:
        made = long_memory.compiled_layer(cell, shape, implementation)
        row.update(ran=made.ran, temporaries=made.temporaries, needed=made.needed)
        if made.ran != implementation:
            raise ValueError(f"{made.ran} ran in its place")
        if made.needed > most * 2**30:
            raise MemoryError(f"it needs {made.needed / 2**30:.1f} GiB, more than --memory")
        params, given = made.params(), inputs()

        def call() -> Any:
            loss, gradient = jax.block_until_ready(made.step(params, given))
            if "apart" not in row:
                _compare(row, float(loss), jax.device_get(gradient), answers)
            return loss

        return call

    return harness.Entry(row, build)


def _compare(row: dict[str, Any], loss: float, gradient: Any, answers: list[tuple[str, float, Gradient]]) -> None:
    """Adds how far an answer is from the first one; raises ValueError if that is too far, so that it is not timed."""
    answers.append((row["implementation"], loss, {name: np.asarray(leaf) for name, leaf in gradient["cell"].items()}))
    name, first, reference = answers[0]
    row["apart"] = {
        "from": name,
        "loss": abs(loss - first) / abs(first),
        "gradient": distance(answers[-1][2], reference),
    }
    if not all(row["apart"][part] <= most for part, most in FARTHEST.items()):  # a NaN is too far
        said = ", ".join(f"{part} {row['apart'][part]:.1e}" for part in FARTHEST)
        raise ValueError(f"it computes something else than {name}: {said} apart")

"""The part ``step``: one step's products, what of it is divided among threads, and steps of a batch of one."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks import (
    harness,
    layers,
    record,
    step_children,
    step_products,
    step_show,
    step_streams,
    step_threads,
    terminal,
)
from experiments.benchmarks.goals import SMALLEST_BATCH
from experiments.benchmarks.task import Shape
from rnnjax.errors import UsageError

CELLS = tuple(step_threads.CELLS)
WIDTHS, QUICK_WIDTHS = (32, 128, 512), (4,)
PRODUCTS, QUICK_PRODUCTS = 200, 20
HOW = (
    f"Products: [B, H] by [H, 4H] and [B, 4H] by [4H, H], as a step of an LSTM has them, {PRODUCTS} in one call "
    f"(with --quick {QUICK_PRODUCTS}), each made of the one before: forward the four quarters of its columns are "
    "added, backward it is taken four times under different factors. XLA has them in one compiled loop, once as it "
    "multiplies by itself, which is by YNNPACK, and once by Eigen; PyTorch in a loop of Python, into memory that is "
    "kept. Of a training step they are T times both; products over all steps at "
    "once are not among them.",
    "Divided: read from the optimized text of the gradient of a layer's summed squares. An operation is divided where "
    "its backend_config has outer_dimension_partitions. Where it has none, it is in place if its root is a "
    "dynamic-update-slice, which XLA does not divide; small if nothing else stands in the way but XLA's estimate of "
    "its work; else of a kind that is not divided, such as a copy. Bytes count slices of what is sliced. How many "
    "threads XLA sees is a matter of the process's cores. Products divide themselves and are left out, as are "
    "single numbers.",
    f"Batch 1: {step_streams.STEPS} steps a call. A stream is called step by step, each waits for its output, and the "
    "carry goes on from step to step; Keras' is its layer over one step under jax.jit. Generation feeds each output "
    "back as the next input: ours in one compiled program, PyTorch's cells in a loop of Python. Processes of their own "
    "measure it again where XLA computes loops below some size whole.",
    "Peers run in turn, in an order shuffled every round, from the same weights; a result that is not the first one's "
    "is not timed.",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """Takes one step of a recurrent layer apart, on a CPU.

    It times the products of a step alone, beside PyTorch's; reads from the compiled gradients of LSTM and GRU what
    XLA divides among threads; and times steps of a batch of one, streamed and generated. By default all of it runs and
    is written to experiments/results/benchmarks; with any other option than --out the result is written to
    runs/benchmarks.
    """

    shapes: tuple[str, ...] | None = None
    """Shapes of layers as B,T,D,H, for products and division; by default those of layers with B >= 16."""
    widths: tuple[int, ...] | None = None
    """Features in and out of the steps of a batch of one."""
    samples: int = 20
    """Samples of each; what is too slow for the time gets fewer."""
    minutes: float = 8.0
    """About how long it may take, compilation included."""
    out: Path | None = None
    """Result file."""
    quick: bool = False
    """Tiny sizes and few samples, to see that everything runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("step", Options, arguments))


def run(options: Options) -> int:
    """Measures, reads, shows and writes; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for a malformed shape, numbers that are not positive, or where JAX runs on no CPU.
    """
    shapes, widths = _shapes(options), options.widths or (QUICK_WIDTHS if options.quick else WIDTHS)
    if options.samples < 1 or min(widths) < 1:
        raise UsageError(f"--samples and --widths must be positive, got {options.samples} and {widths}")
    began, load = time.monotonic(), record.start(1)
    if jax.default_backend() != "cpu":
        raise UsageError("this part takes a CPU's step apart; set JAX_PLATFORMS=cpu")
    console, partial = terminal.console(), False
    left = lambda: 60 * options.minutes - (time.monotonic() - began)  # noqa: E731
    stages = {
        "loops": lambda rows: _divisions(shapes, rows),
        "products": lambda rows: _products(shapes, options, left() / 2, rows),
        "rows": lambda rows: _streams(widths, options, left() / 2, rows),
        "thresholds": lambda rows: _thresholds(widths, options, rows),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in stages}
    try:
        for name, stage in stages.items():
            try:
                stage(found[name])
            finally:
                for table in step_show.tables({name: found[name]}):
                    console.print(step_show.on_terminal(table))
            jax.clear_caches()  # what has been timed is not needed any more
    except KeyboardInterrupt:
        partial = True
        console.print("interrupted: what follows is partial")
    goals = step_show.evaluate(found["rows"])
    console.print(terminal.of_goals(goals, "goals (geometric means over widths)"))
    result = {"part": "step", "partial": partial, "how": HOW, "samples": options.samples, "load_at_start": load}
    result |= {"seconds": time.monotonic() - began, **record.circumstances(), "goals": goals, **found}
    whole = dataclasses.replace(options, out=None) == Options() and not partial
    path = record.out_path("step", options.out, whole=whole)
    record.write(result, path)
    console.print(f"{result['seconds']:.0f} s; written: {path}", soft_wrap=True)
    return 130 if partial else 0


def _shapes(options: Options) -> list[Shape]:
    texts = options.shapes or (layers.QUICK_SHAPES if options.quick else layers.SHAPES)
    shapes = list(dict.fromkeys(map(Shape.parse, texts)))
    return shapes if options.shapes else [shape for shape in shapes if shape.B >= SMALLEST_BATCH]


def _divisions(shapes: Sequence[Shape], rows: list[dict[str, Any]]) -> None:
    """Compiles the gradients and reads their loops."""
    for cell in CELLS:
        for shape in shapes:
            rows += step_threads.of_layer(cell, shape)


def _products(shapes: Sequence[Shape], options: Options, seconds: float, rows: list[dict[str, Any]]) -> None:
    """Times the products of each shape against one another."""
    count = QUICK_PRODUCTS if options.quick else PRODUCTS
    for shape in shapes:
        _time(step_products.entries(shape, count), options, seconds / len(shapes), rows)


def _streams(widths: Sequence[int], options: Options, seconds: float, rows: list[dict[str, Any]]) -> None:
    """Times streams and generation at each width."""
    for cell in CELLS:
        for H in widths:
            _time(step_streams.entries(cell, H), options, seconds / len(CELLS) / len(widths), rows)


def _thresholds(widths: Sequence[int], options: Options, rows: list[dict[str, Any]]) -> None:
    """Generates in processes of their own."""
    rounds = 1 if options.quick else step_children.ROUNDS
    step_children.measure(CELLS, widths, _samples(options), rounds, rows)


def _time(entries: list[harness.Entry], options: Options, seconds: float, rows: list[dict[str, Any]]) -> None:
    try:
        harness.measure(entries, samples=_samples(options), seconds=seconds)
    finally:
        rows += [entry.result() for entry in entries]


def _samples(options: Options) -> int:
    return min(options.samples, 2) if options.quick else options.samples

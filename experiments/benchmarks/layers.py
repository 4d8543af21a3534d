"""The part ``layers``: times of recurrent layers, ours beside other libraries'."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from experiments.benchmarks import charts, goals, harness, memory_limit, peers, record, terminal
from experiments.benchmarks import stranger as strangers
from experiments.benchmarks.stranger import Stranger
from experiments.benchmarks.task import FORMS, GATES, MODES, Shape, Task
from rnnjax.errors import UsageError
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.config import Dtype, Precision

SHAPES = (
    "128,28,28,128",
    "64,400,128,128",
    "128,28,28,256",
    "100,784,1,128",
    "32,128,128,256",
    "256,100,64,64",
    "16,256,256,512",
    "1,400,128,128",
)
FEW_SHAPES = ("128,28,28,128", "64,400,128,128", "32,128,128,256", "256,100,64,64")
"""Where the default choice has masked, bidirectional and forward; at all shapes they would not fit into the time."""
QUICK_SHAPES = ("16,5,3,4",)

CHOICE = (
    "Training, plain: all shapes and peers; rnnjax, Flax and nnx on every number of devices.",
    "Training, masked and bidirectional: four shapes (short, long, wide, large batch); rnnjax fused, Flax, Keras and "
    "PyTorch (packed; padded too when masked), on one device.",
    "Forward, plain: two of these shapes (short, long), the same peers.",
    "With --forms, --modes, --shapes or --peers, every combination of what they name runs.",
)
"""What runs by default."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Times a recurrent layer with a dense head, forward, and forward + backward + Adam.

    Without --forms, --modes, --shapes and --peers a choice of eight shapes runs that fits in about
    --minutes and is written to experiments/results/benchmarks; with any of these every combination
    of them runs and is written to runs/benchmarks, as is what has another --precision or --dtype, or a --peer.
    """

    cells: tuple[Literal["lstm", "gru", "rnn"], ...] = ("lstm", "gru")
    """Cells: lstm, gru, rnn."""
    forms: tuple[Literal["plain", "masked", "bidirectional"], ...] | None = None
    """Forms: plain, masked, bidirectional."""
    modes: tuple[Literal["forward", "train"], ...] | None = None
    """Modes: forward, train."""
    shapes: tuple[str, ...] | None = None
    """Shapes as B,T,D,H: batch, steps, input features, hidden features."""
    peers: tuple[str, ...] | None = None
    """Peers: "rnnjax fused", "rnnjax scan", "rnnjax cudnn" (GPU), flax (Linen), nnx (Flax too), keras,
    torch (packed when masked), "torch padded" (masked only), equinox."""
    peer: Path | None = None
    """A layer of yours beside the others: FILE.py with one function lstm(params, inputs), or gru, or rnn. Before
    anything is timed, its outputs and gradients are compared with ours: experiments/benchmarks/README.md."""
    devices: tuple[int, ...] | None = None
    """Numbers of devices; by default 1, and 2 on the CPU or all of several accelerators."""
    precision: Precision = "default"
    """Precision of float32 products on accelerators: jax.default_matmul_precision, and in PyTorch
    torch.set_float32_matmul_precision with cuDNN's TF32 on or off alike. default is each library's own. A CPU
    computes in float32 in any case."""
    dtype: Dtype = "float32"
    """Dtype of the layers' computation. In bfloat16, parameters stay float32, but for PyTorch's, which become
    bfloat16 with the layer."""
    samples: int = 10
    """Samples of each; what is too slow for the time gets fewer."""
    minutes: float = 9.0
    """About how long it may take, compilation included."""
    out: Path | None = None
    """Result file."""
    quick: bool = False
    """A tiny shape and few samples, to see that everything runs."""


Group = list[tuple[Task, str, int]]
"""Tasks of one cell and shape with a peer and its number of devices; they are timed against one another."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run(record.parse("layers", Options, arguments))


def run(options: Options) -> int:
    """Times what the options choose, shows and writes it; returns the exit code, 130 after Ctrl-C.

    Raises:
      UsageError: for an unknown peer, a malformed shape, one that would not fit into memory, nothing to time, or a file
        of --peer whose layer cannot be had or computes something else than ours.
    """
    began = time.monotonic()
    _check(options)
    # With two CPU devices, a function on the first of them still runs on the threads of both cores: measured, its times
    # are the same as in a process with one device.
    load = record.start(max(options.devices or (2,)))
    options, stranger = _with_peer(options)
    groups = _groups(options, stranger)
    tasks = [task for group in groups for task, _, _ in group]
    if not tasks:
        raise UsageError("nothing to time: no peer of --peers has one of --forms on one of --devices")
    memory_limit.check(tasks, memory_limit.available())
    chosen, rows, partial = _is_default(options), [], False
    console = terminal.console()
    console.print(f"layers in {options.dtype}, float32 products at precision {options.precision}")
    console.print("\n".join(CHOICE) if chosen else f"{sum(map(len, groups))} combinations")
    try:
        if stranger is not None:
            apart = strangers.compare(stranger, tasks)
            said = f"{stranger.name}: outputs and gradients as ours, to {apart:.0e} of the largest value"
            console.print(said, markup=False)
            jax.clear_caches()
        for number, group in enumerate(groups):
            left = 60 * options.minutes - (time.monotonic() - began)
            entries = [_entry(*member, stranger) for member in group]
            try:
                with matmul_precision(options.precision):
                    harness.measure(entries, samples=_samples(options), seconds=left / (len(groups) - number))
            finally:
                rows += [entry.result() for entry in entries]
                task = group[0][0]
                title = f"{task.cell.upper()} {task.shape}"
                console.print(terminal.of_group(title, rows[-len(entries) :], _against(stranger)))
            jax.clear_caches()  # what has been timed is not needed any more
    except KeyboardInterrupt:
        partial = True
        console.print("interrupted: what follows is partial")
    run = {"load_at_start": load, "seconds": time.monotonic() - began}
    _finish(options, _in_order(rows, options), run, partial, stranger)
    return 130 if partial else 0


def _check(options: Options) -> None:
    if options.samples < 1:
        raise UsageError(f"--samples must be positive, got {options.samples}")
    for name in ("cells", "forms", "modes", "shapes", "peers", "devices"):
        if getattr(options, name) == ():
            raise UsageError(f"--{name} must name at least one; leave it out for the default choice")


def _with_peer(options: Options) -> tuple[Options, Stranger | None]:
    """The layer of the file that --peer names, and the options with its cell alone."""
    if options.peer is None:
        return options, None
    if options.out is not None and options.out.resolve().is_relative_to(record.COMMITTED):
        raise UsageError(f"--out: among the committed results are none with a --peer; got {options.out}")
    stranger = strangers.load(options.peer)
    if options.cells != Options.cells and stranger.cell not in options.cells:
        raise UsageError(f"--cells: {stranger.name} has the cell {stranger.cell}, got {', '.join(options.cells)}")
    return dataclasses.replace(options, cells=(stranger.cell,)), stranger


def _against(stranger: Stranger | None) -> tuple[str, ...]:
    """Over whose times the shown ratios are."""
    return terminal.AGAINST if stranger is None else (*terminal.AGAINST, stranger.name)


def _finish(
    options: Options, rows: list[dict[str, Any]], run: dict[str, float], partial: bool, stranger: Stranger | None
) -> None:
    """Shows and writes what was measured."""
    console, found = terminal.console(), goals.evaluate(rows)
    console.print(terminal.of_means(rows, _against(stranger)))
    console.print(terminal.of_goals(found, "goals (geometric means over shapes with B >= 16)"))
    result = {
        "part": "layers",
        "partial": partial,
        "choice": list(CHOICE) if _is_default(options) else None,
        "samples": _samples(options),
        "dtype": options.dtype,
        "precision": options.precision,
        **({} if stranger is None else {"stranger": stranger.described()}),
        **run,
        **record.circumstances(),
        "goals": found,
        "rows": rows,
    }
    usual = (options.dtype, options.precision) == (Options.dtype, Options.precision)
    path = record.out_path("layers", options.out, whole=usual and _is_default(options) and not partial)
    record.write(result, path)
    plots = charts.layers(result, path)
    console.print(f"{result['seconds']:.0f} s; written: {', '.join(map(str, [path, *plots]))}", soft_wrap=True)


def _is_default(options: Options) -> bool:
    """Whether the default choice runs."""
    free = (options.forms, options.modes, options.shapes, options.peers, options.peer, options.devices)
    return not options.quick and options.cells == Options.cells and all(value is None for value in free)


def _samples(options: Options) -> int:
    return min(options.samples, 4) if options.quick else options.samples


def _shapes(options: Options) -> list[Shape]:
    texts = options.shapes or (QUICK_SHAPES if options.quick else SHAPES)
    return list(dict.fromkeys(Shape.parse(text) for text in texts))


def _devices(options: Options) -> tuple[int, ...]:
    here = jax.local_device_count()
    if options.devices is None:
        several = 2 if jax.default_backend() == "cpu" else here
        return tuple(dict.fromkeys((1, several)))
    for devices in options.devices:
        if not 1 <= devices <= here:
            raise UsageError(f"--devices must lie in 1..{here}, the devices that JAX has here; got {devices}")
    return options.devices


def _groups(options: Options, stranger: Stranger | None = None) -> list[Group]:
    """All that is to be timed, the cheapest first: what it leaves of its time goes to the dearer."""
    known, chosen = peers.names(), options.peers or tuple(peers.names())
    for peer in chosen:
        if peer not in known:
            raise UsageError(f"--peers: {peer!r} is none of {', '.join(known)}")
    mine = () if stranger is None else (stranger.name,)
    combinations = all(value is None for value in (options.forms, options.modes, options.shapes, options.peers))
    groups = []
    for shape in _shapes(options):
        for cell in dict.fromkeys(options.cells):
            group = [
                (Task(cell, form, mode, shape, options.dtype, options.precision), peer, devices)
                for mode in reversed(dict.fromkeys(options.modes or MODES))
                for form in dict.fromkeys(options.forms or FORMS)
                for peer in dict.fromkeys((*chosen, *mine))
                for devices in dict.fromkeys(_devices(options))
                if peer in mine or peers.offers(peer, form, devices)
            ]
            groups.append([member for member in group if not combinations or _in_choice(*member)])
    return sorted((group for group in groups if group), key=lambda group: _cost(group[0][0]))


def _in_choice(task: Task, peer: str, devices: int) -> bool:
    """Whether the default choice has it; ``CHOICE`` says the same in words."""
    if (task.form, task.mode) == ("plain", "train"):
        return True
    if devices > 1 or peer in ("rnnjax scan", "nnx", "equinox"):
        return False
    few = FEW_SHAPES if task.mode == "train" else FEW_SHAPES[:2]
    return task.shape in map(Shape.parse, (*few, *QUICK_SHAPES)) and (task.mode == "train" or task.form == "plain")


def _cost(task: Task) -> int:
    shape = task.shape
    return shape.B * shape.T * (shape.D + shape.H) * shape.H * GATES[task.cell]


def _entry(task: Task, peer: str, devices: int, stranger: Stranger | None) -> harness.Entry:
    shape = task.shape
    make = stranger.make_call if stranger and peer == stranger.name else functools.partial(peers.make_call, peer)
    row = {"cell": task.cell, "form": task.form, "mode": task.mode, "shape": list(dataclasses.astuple(shape))}
    row |= {"peer": peer, "devices": devices}
    if shape.B % devices:
        return harness.Entry(row, None, error=f"a batch of {shape.B} does not divide over {devices} devices")
    return harness.Entry(row, lambda: make(task, devices))


def _in_order(rows: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    """The rows in the order of the shapes asked for."""
    order = [list(dataclasses.astuple(shape)) for shape in _shapes(options)]
    return sorted(rows, key=lambda row: (options.cells.index(row["cell"]), order.index(row["shape"])))

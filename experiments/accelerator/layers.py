"""Parts 2, 4, 5 and 6: forward and backward pass of one layer, by our implementations and by other libraries."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.accelerator.context import Context
from experiments.accelerator.programs import Program, compile_all
from experiments.benchmarks import harness, peers
from experiments.benchmarks.task import GATES, Shape, Task
from experiments.benchmarks.timings import quartiles
from rnnjax.models.config import Dtype, Precision

SHAPES = (Shape(128, 784, 1, 128), Shape(256, 400, 128, 128), Shape(16, 1024, 768, 768))
MORE_SHAPES = (Shape(512, 28, 28, 256), Shape(64, 128, 512, 512))
TOY, MORE_TOYS = (Shape(4, 6, 1, 4),), (Shape(8, 3, 3, 5),)
Kinds = tuple[tuple[Dtype, Precision], ...]
USUAL: Kinds = (("float32", "default"),)
Gradients = dict[str, Sequence[Any]]
"""Of a layer by its parameters, by the name of the peer, in whatever order and layout it has them."""
PRECISIONS: Kinds = (("bfloat16", "default"), ("float32", "tensorfloat32"), ("float32", "highest"))

SAMPLES, TOY_SAMPLES = 20, 2
LEAST = 3.0
"""Seconds of a part below which no further group is begun."""
CALLS = 4
"""Of each peer, fewest in a group: to compare, to warm up, and in the first round an untimed one and a sample."""
HOW = (
    "A layer, its last output to a dense head of ten classes, the mean cross-entropy, and its gradient by all "
    "parameters. Peers of a group are timed in turn, in an order shuffled every round, with one untimed call after "
    "each switch; samples are seconds. products_per_second counts B T G H (2 D + 3 H) multiply-adds of the layer with "
    "G gates: forwards B T G H (D + H), backwards as many for the kernels and B T G H H for the carry."
)


def lstm(context: Context) -> None:
    """LSTM at the default precision."""
    _run(context, ("lstm",), TOY if context.dry else SHAPES, USUAL)


def gru(context: Context) -> None:
    """The same of a GRU."""
    _run(context, ("gru",), TOY if context.dry else SHAPES, USUAL)


def precisions(context: Context) -> None:
    """LSTM in bfloat16, with products in TF32, and in float32 throughout."""
    _run(context, ("lstm",), TOY if context.dry else SHAPES, PRECISIONS)


def more_shapes(context: Context) -> None:
    """Both cells at shapes that are short, and of a middle size."""
    _run(context, ("lstm", "gru"), MORE_TOYS if context.dry else MORE_SHAPES, USUAL)


def _run(context: Context, cells: Sequence[str], shapes: Sequence[Shape], kinds: Kinds) -> None:
    """Fills ``rows``, one a peer and task."""
    context.result |= {"how": HOW, "rows": []}
    groups = [(task, _peers(task)) for task in _tasks(cells, shapes, kinds)]
    programs = {(task, peer): program(task, peer) for task, names in groups for peer in names if peer != "torch"}
    compile_all(list(programs.values()), context)
    cost = 0.0
    for number, (task, names) in enumerate(groups):
        needed, left = max(0 if context.dry else LEAST, CALLS * cost * products(task)), context.left()
        if left < needed:
            context.late(_title(task), f"about {needed:.0f} s are needed, and {max(left, 0):.0f} s are left")
            continue
        rows = _group(context, task, {peer: programs.pop((task, peer), None) for peer in names}, len(groups) - number)
        cost = max(cost, sum(row.get("median_seconds", 0.0) for row in rows) / products(task))


def _tasks(cells: Sequence[str], shapes: Sequence[Shape], kinds: Kinds) -> Iterator[Task]:
    for dtype, precision in kinds:
        for cell in cells:
            for shape in shapes:
                yield Task(cell, "plain", "train", shape, dtype, precision)


def _peers(task: Task) -> list[str]:
    """Who is timed; cuDNN, as JAX calls it, has an LSTM in float32 alone, and is where JAX runs on a GPU."""
    cudnn = jax.default_backend() == "gpu" and (task.cell, task.dtype) == ("lstm", "float32")
    return ["rnnjax fused", "rnnjax scan", *(["rnnjax cudnn"] if cudnn else []), "flax", "torch"]


def program(task: Task, peer: str) -> Program:
    """Loss and gradient by a peer that is a JAX function, of its parameters, the inputs and the labels."""
    from experiments.benchmarks import peers_jax

    if peer in peers.RNNJAX:
        layer = peers_jax.rnnjax_layer(task, implementation=peers.RNNJAX[peer])
    else:
        layer = peers_jax.flax_layer(task)
    params, _, loss = peers_jax.make_loss(task, layer)

    def value_and_gradient(params, inputs, labels):
        return jax.value_and_grad(loss)(params, inputs, None, labels)

    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (params, task.inputs, task.labels))
    return Program(f"{_title(task)}, {peer}", value_and_gradient, like, task.precision, params=params)


def _group(context: Context, task: Task, programs: dict[str, Program | None], groups_left: int) -> list[dict[str, Any]]:
    """Times the peers of one task against each other; their rows."""
    gradients: Gradients = {}
    entries = [_entry(task, peer, program, gradients) for peer, program in programs.items()]
    seconds = max(context.left(), 0) / groups_left
    try:
        harness.measure(entries, samples=TOY_SAMPLES if context.dry else SAMPLES, seconds=seconds)
    finally:
        rows = [_finished(task, entry, gradients) for entry in entries]
        _compare(rows, gradients)
        context.result["rows"] += rows
        context.say(f"  {_title(task)}: {_shown(rows)}")
    jax.clear_caches()  # what has been timed is not needed any more
    return rows


def _entry(task: Task, peer: str, program: Program | None, gradients: Gradients) -> harness.Entry:
    row: dict[str, Any] = {"cell": task.cell, "shape": list(dataclasses.astuple(task.shape))}
    row |= {"dtype": task.dtype, "precision": task.precision, "peer": peer, "implementation": None}
    if program is None:
        return harness.Entry(row, lambda: _torch(task, gradients))
    ran = set(program.implementations.values())
    row |= {"implementation": ran.pop() if len(ran) == 1 else None, "compile_seconds": program.seconds}
    row |= {"bytes_needed": program.bytes_needed()}
    if obstacle := program.obstacle():
        return harness.Entry(row, None, error=obstacle)
    return harness.Entry(row, lambda: _compiled(task, peer, program, gradients))


def _compiled(task: Task, peer: str, program: Program, gradients: Gradients) -> Callable[[], Any]:
    """One call of a compiled program: it blocks until the gradient is there, and returns the loss."""
    arguments = jax.device_put((program.params, task.inputs, task.labels))
    _, gradient = program.executable(*arguments)
    gradients[peer] = jax.device_get(jax.tree.leaves(gradient["recurrent"]))

    def call() -> Any:
        return jax.block_until_ready(program.executable(*arguments))[0]

    return call


def _torch(task: Task, gradients: Gradients) -> Callable[[], Any]:
    from experiments.accelerator import torch_layer

    call, kernels = torch_layer.make_call(task)
    call()
    gradients["torch"] = kernels()
    return call


def kernel_norm(gradients: Sequence[Any]) -> float:
    """The Euclidean norm of the gradients of a layer's kernels, in whatever order a library lays these out."""
    return _norm([leaf for leaf in gradients if leaf.ndim == 2])


def _norm(arrays: Sequence[Any]) -> float:
    return float(np.sqrt(sum(np.square(np.asarray(array, np.float64)).sum() for array in arrays)))


def distance(gradients: Sequence[Any], reference: Sequence[Any]) -> float:
    """The Euclidean norm of the difference of two gradients in the same arrays, over that of the reference."""
    pairs = zip(gradients, reference, strict=True)
    return _norm([np.asarray(a, np.float64) - b for a, b in pairs]) / max(_norm(reference), 1e-30)


def products(task: Task) -> int:
    """Multiply-adds of the layer in one call; see :data:`HOW`."""
    B, T, D, H = dataclasses.astuple(task.shape)
    return B * T * GATES[task.cell] * H * (2 * D + 3 * H)


def _finished(task: Task, entry: harness.Entry, gradients: Gradients) -> dict[str, Any]:
    """The row of the result file."""
    found = gradients.get(entry.row["peer"])
    row = entry.result() | {"kernel_gradient_norm": None if found is None else kernel_norm(found)}
    if entry.samples:
        median = quartiles(entry.samples)[1]
        row |= {"median_seconds": median, "products_per_second": products(task) / median}
    return row


def _compare(rows: Sequence[dict[str, Any]], gradients: Gradients) -> None:
    """Adds how far each peer's loss and gradient are from those of our scan, or of the first peer that has some.

    Of the gradients the norms are compared, which no layout changes, and between our own implementations all values.
    """
    names = ("first_loss", "kernel_gradient_norm")
    there = [row for row in rows if all(row[name] is not None for name in names)]
    for reference in [row for row in there if row["peer"] == "rnnjax scan"] or there[:1]:
        for row in there:
            apart = {name: abs(row[name] - reference[name]) / max(abs(reference[name]), 1e-30) for name in names}
            if {row["peer"], reference["peer"]} <= set(peers.RNNJAX):
                apart["gradient"] = distance(gradients[row["peer"]], gradients[reference["peer"]])
            row["apart"] = {"from": reference["peer"], **apart}


def _title(task: Task) -> str:
    return f"{task.cell.upper()} {task.shape} {task.dtype} {task.precision}"


def _shown(rows: Sequence[dict[str, Any]]) -> str:
    """``rnnjax fused 12.3 ms, flax 20.1 ms, torch not installed (torch)``."""
    return ", ".join(
        f"{row['peer']} " + (f"{1e3 * row['median_seconds']:.3g} ms" if row["samples"] else str(row["error"]))
        for row in rows
    )

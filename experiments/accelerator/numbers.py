"""Part 1: ragged rows in both directions in float32, against the same in float64."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.context import Context
from experiments.accelerator.programs import Program, compile_all
from experiments.benchmarks.harness import first_line
from experiments.benchmarks.task import Shape, Task
from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.recurrence import RNN, Bidirectional

CELLS = {"lstm": LSTMCell, "gru": GRUCell}
PRECISIONS = ("highest", "default")
SHAPE, TOY = Shape(32, 96, 48, 128), Shape(3, 6, 2, 4)
BOUNDS = {"highest": 1e-4, "default": 5e-2}
"""Relative errors above which a result is called suspicious: far above float32's, and above bfloat16's products."""
HOW = (
    "A Bidirectional of two RNNs on rows of different lengths, one of them 0, in float32, against a scan in float64 on "
    "the CPU. The gradients are of a weighted sum of all outputs and carries, by parameters and inputs. Errors are the "
    "largest of each kind; relative ones are divided by the largest value of the array that they are in."
)


def run(context: Context) -> None:
    """Fills ``rows``, one a cell, precision and implementation."""
    context.result |= {"how": HOW, "bounds": BOUNDS, "suspicious": [], "rows": []}
    shape = TOY if context.dry else SHAPE
    tasks = {cell: Task(cell, "bidirectional", "train", shape) for cell in CELLS}
    programs = {case: _program(*case, tasks[case[0]]) for case in _cases()}
    compile_all(list(programs.values()), context)
    exact = {cell: _exactly(task) for cell, task in tasks.items()}
    for (cell, precision, implementation), program in programs.items():
        if context.left() < 0:
            context.late(program.name)
            continue
        row: dict[str, Any] = {"cell": cell, "precision": precision, "implementation": implementation}
        errors, reason = _measured(program, arguments(tasks[cell], np.float32), exact[cell])
        context.result["rows"].append({**row, "ran": sorted(set(program.implementations.values())), **errors})
        if reason is not None:
            context.result["rows"][-1]["error"] = reason
            context.leave_out(program.name, reason)
            continue
        if not all(values["relative"] <= BOUNDS[precision] for values in errors.values()):
            context.result["suspicious"].append(program.name)
        context.say(f"  {program.name}: {_shown(errors)}")


def _cases() -> Iterator[tuple[str, str, str]]:
    """Cell, precision and implementation; cuDNN has no GRU, and is there where JAX runs on a GPU."""
    for cell in CELLS:
        for precision in PRECISIONS:
            for implementation in ("fused", "scan", "cudnn"):
                if implementation != "cudnn" or (cell == "lstm" and jax.default_backend() == "gpu"):
                    yield cell, precision, implementation


def _program(cell: str, precision: str, implementation: str, task: Task) -> Program:
    like = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arguments(task, np.float32))
    return Program(f"{cell}, {precision}, {implementation}", everything(task, implementation), like, precision)


def arguments(task: Task, dtype: Any) -> tuple[Any, Any, Any, Any]:
    """Parameters, inputs, lengths, and the weights of outputs and carries in the loss, of one dtype."""
    shape, rng = task.shape, np.random.default_rng(3)
    lengths = rng.integers(1, shape.T + 1, shape.B, np.int32)
    lengths[:2] = 0, shape.T
    draw = lambda *sizes: rng.standard_normal(sizes, np.float32)  # noqa: E731
    states = 2 if task.cell == "lstm" else 1
    weights = [draw(shape.B, shape.H) for _ in range(2 * states)] + [draw(shape.B, shape.T, 2 * shape.H)]
    wide = lambda tree: jax.tree.map(lambda array: array.astype(dtype), tree)  # noqa: E731
    return wide(task.weights["recurrent"]), wide(task.inputs), lengths, wide(weights)


def everything(task: Task, implementation: str) -> Callable[..., dict[str, Any]]:
    """A function of :func:`arguments` that gives outputs, carries and gradients."""
    forward, backward = (
        RNN(CELLS[task.cell](task.shape.H), reverse=reverse, implementation=implementation) for reverse in (False, True)
    )
    module = Bidirectional(forward, backward)

    def made(params, inputs, lengths, weights):
        def loss(params, inputs):
            carry, outputs = module.apply({"params": params}, inputs, lengths=lengths)
            leaves = [*jax.tree.leaves(carry), outputs]
            return sum(jnp.sum(weight * leaf) for weight, leaf in zip(weights, leaves, strict=True)), (carry, outputs)

        (_, (carry, outputs)), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, inputs)
        return {"outputs": outputs, "carries": carry, "gradients": gradients}

    return made


def _exactly(task: Task) -> dict[str, Any]:
    """The same in float64, by a scan on the CPU; on the accelerator where JAX was told to see no CPU."""
    where: Any = contextlib.nullcontext()
    with contextlib.suppress(RuntimeError):
        where = jax.default_device(jax.devices("cpu")[0])
    with jax.enable_x64(True), where:
        made = jax.jit(everything(task, "scan"))(*arguments(task, np.float64))
        return jax.tree.map(np.asarray, made)


def _measured(program: Program, given: tuple[Any, ...], exact: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The errors of a program, or none and why; one that fails as it runs leaves the others theirs."""
    if obstacle := program.obstacle():
        return {}, obstacle
    try:
        ours = jax.device_get(program.executable(*given))
    except Exception as error:  # an implementation that fails is a result
        return {}, f"failed: {first_line(error)}"
    return _errors(ours, exact), None


def _errors(ours: dict[str, Any], exact: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The largest error of each kind, and the largest relative one; NaN if there is one anywhere.

    Each array is held against its own largest value: a kernel's gradient, a sum over all rows and steps, is hundreds of
    times that of an input, and an error of the one would hide the other.
    """
    out = {}
    for kind, wanted in exact.items():
        pairs = list(zip(jax.tree.leaves(ours[kind]), jax.tree.leaves(wanted), strict=True))
        assert all(leaf.dtype == np.float64 for _, leaf in pairs), "the reference is exact"
        errors = np.array([np.abs(np.asarray(a, np.float64) - b).max() for a, b in pairs])
        largest = np.array([np.abs(b).max() for _, b in pairs])
        out[kind] = {"error": float(errors.max()), "relative": float((errors / largest).max())}
    return out


def _shown(errors: dict[str, dict[str, float]]) -> str:
    return ", ".join(f"{kind} {values['relative']:.1e}" for kind, values in errors.items())

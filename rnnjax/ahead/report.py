"""What there is to say of an experiment on a machine that is not here, as JSON."""

import dataclasses
import importlib.metadata
from typing import Any

from rnnjax.ahead import floors, memory, steps, text
from rnnjax.ahead.machines import Machine
from rnnjax.ahead.operations import operations
from rnnjax.ahead.text import Loop
from rnnjax.data import Dataset
from rnnjax.training.runner import Runner

_PACKAGES = ("jax", "jaxlib", "flax", "libtpu", "jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12")


def plan(experiment: Any, dataset: Dataset, machine: Machine) -> dict[str, Any]:
    """Compiles an experiment's steps for a machine and says what is known of them.

    Args:
      experiment: of which the steps are.
      dataset: what its data section loaded.
      machine: of :func:`rnnjax.ahead.machines.machine`.

    Returns:
      As ``plan --json`` writes it: sizes in bytes of one device, operations of one device and step.

    Raises:
      UsageError, DataError: where the experiment's parts do not fit each other, or the batch does not divide.
    """
    program = steps.runner(experiment, dataset, machine)
    made = steps.compiled(program)
    described = {step.name: _described(step, program, machine) for step in made}
    return {
        "experiment": experiment.name,
        "machine": {
            "name": machine.name,
            "devices": machine.count,
            "chip": {name: value for name, value in machine.chip.items() if name != "target"},
        },
        "batch_size": experiment.data.batch_size,
        "batch_a_device": experiment.data.batch_size // machine.count,
        "implementations": dict(program.implementations),
        "fits": all(step["fits"] for step in described.values()),
        "steps": described,
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _described(step: steps.Step, program: Runner, machine: Machine) -> dict[str, Any]:
    chip, kept = machine.chip, memory.of(step, machine.chip)
    said = {
        "batches_a_call": step.count,
        "length": step.chunk.length,
        "compile_seconds": round(step.seconds, 1),
        "fits": memory.fits(step, chip),
    }
    if kept is None:
        return said | {"memory": {"needed": step.needed, "available": int(chip["memory"])}}
    counted = operations(step.function, *step.shapes, platform=chip["platform"])
    lowest = floors.of(step, counted, kept, chip)
    assert step.compiled is not None
    written = step.compiled.as_text() or ""
    return said | {
        "memory": dataclasses.asdict(kept) | {"together": kept.together, "share": kept.share},
        "operations": lowest.operations,
        "operations_in_loops": counted.deeper(_around_a_pass(step, program)) // step.count,
        "uncounted": list(counted.uncounted),
        "bytes_moved": lowest.bytes,
        "intensity": lowest.intensity,
        "floors": {"arithmetic": lowest.arithmetic, "memory": lowest.memory, "holds": lowest.holds},
        "exchanged": exchanged(written, step.count),
        "loops": [_loop(loop, list(program.implementations)) for loop in text.loops(written) if _within_a_step(loop)],
    }


def _around_a_pass(step: steps.Step, program: Runner) -> int:
    """Loops around what is done with the rows of a batch: that over steps, and in training that over its parts."""
    return 2 if step.name == "train" and program.experiment.train.accumulate > 1 else 1


def exchanged(written: str, count: int) -> dict[str, Any]:
    """What the devices exchange, a step; what a call exchanges once counts with its part."""
    found = text.collectives(written)
    by_kind: dict[str, int] = {}
    for each in found:
        by_kind[each.kind] = by_kind.get(each.kind, 0) + (each.bytes if each.total_bytes is None else each.total_bytes)
    return {
        "bytes": sum(by_kind.values()) // count,
        "operations": sum(1 if each.runs is None else each.runs for each in found) / count,
        "kinds": {kind: total // count for kind, total in by_kind.items()},
    }


def _loop(loop: Loop, paths: list[str]) -> dict[str, Any]:
    return {
        "layer": layer(loop.op_name, paths),
        "pass": "backward" if loop.backward else "forward",
        "source": _short(loop.source),
        "iterations": loop.trips,
        "launches": loop.launches,
        "kernels": loop.counts,
        "whole_buffer_copies": [{"shape": copy.shape, "bytes": copy.bytes} for copy in loop.copies],
    }


def _within_a_step(loop: Loop) -> bool:
    """Whether it is none over the batches of a call."""
    return loop.depth > 0 or "closed_call" in loop.op_name


def layer(op_name: str, paths: list[str]) -> str | None:
    """The recurrent layer that an operation is of, by its path in the model; None if it is of none."""
    named = [path for path in paths if path and f"/{path}/" in f"{op_name}/"]
    return max(named, key=len, default=None)


def _short(source: str) -> str:
    """A place in a source file, without the folders that this machine has it in."""
    for root in ("site-packages/", "rnnjax/", "experiments/"):
        _, found, rest = source.rpartition(f"/{root}")
        if found:
            return rest if root == "site-packages/" else root + rest
    return source.rpartition("/")[2]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

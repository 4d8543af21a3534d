"""An experiment's training and evaluation steps, compiled for the devices of a machine."""

import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from rnnjax.ahead.absent import Absent
from rnnjax.ahead.machines import Machine
from rnnjax.ahead.quiet import quietly
from rnnjax.data import Dataset
from rnnjax.data.plan import Chunk
from rnnjax.training.runner import Runner

NAMES = ("train", "evaluate")


@dataclass(frozen=True)
class Step:
    """What one compiled call does.

    Attributes:
      name: ``train`` or ``evaluate``.
      chunk: what it works through: K batches.
      function, shapes: before it is compiled: over all devices, and its arguments.
      compiled: for the machine; None where its compiler found that memory does not suffice.
      state_bytes: of the state on one device, or of the model's variables in an evaluation.
      batch_bytes: of the rows of a batch on one device, as they are stored.
      needed: bytes a device that the compiler then spoke of; None where it named none.
      seconds: spent on compiling.
    """

    name: str
    chunk: Chunk
    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    state_bytes: int
    batch_bytes: int
    compiled: jax.stages.Compiled | None
    needed: int | None
    seconds: float

    @property
    def count(self) -> int:
        """Batches of a call."""
        return self.chunk.rows.shape[0]


def runner(experiment: Any, dataset: Dataset, machine: Machine) -> Runner:
    """The experiment's runner on the machine's devices, which are not there.

    Raises:
      UsageError, DataError: as :class:`rnnjax.training.runner.Runner`, such as at a batch that does not divide.
    """
    return Runner(experiment, dataset, Absent(machine.devices()))


def compiled(program: Runner, names: tuple[str, ...] = NAMES) -> list[Step]:
    """The steps of these names, compiled side by side: of sequences, at the largest bucket.

    The evaluation is the one that keeps what the task's report is made of, which needs the most.
    """
    every = [_Traced(program, name) for name in names]
    with quietly(), ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(_Traced.compile, every))


class _Traced:
    """A step that is not compiled yet. Tracing is done one at a time, in Python."""

    def __init__(self, program: Runner, name: str):
        self.name, split = name, "train" if name == "train" else "validation"
        plan = program.train_plan(seed=0, epoch=0) if name == "train" else program.eval_plan(split)
        self.chunk = chunk = largest(plan)
        if name == "train":
            self.function, self.shapes = program.training_program(chunk)
        else:
            self.function, self.shapes = program.evaluation_program(split, chunk, keep=True)
        self.lowered = self.function.lower(*self.shapes)
        devices = program.parallel.device_count
        rows = _bytes(getattr(self.shapes[0], "carry", None))  # of all devices; all else of a state is on each
        self.state_bytes = _bytes(self.shapes[0]) - rows + rows // devices
        stored = program.dataset.split(split).stored().items()
        one = {name: jax.ShapeDtypeStruct(array.shape[1:], array.dtype) for name, array in stored}
        self.batch_bytes = _bytes(one) * chunk.rows.shape[1] // devices

    def compile(self) -> Step:
        start = time.perf_counter()
        made, needed = within_memory(self.lowered.compile)
        seconds = time.perf_counter() - start
        held = self.state_bytes, self.batch_bytes
        return Step(self.name, self.chunk, self.function, self.shapes, *held, made, needed, seconds)


def largest(chunks: list[Chunk]) -> Chunk:
    """The chunk with the most steps over sequences, or the most rows."""
    return max(chunks, key=lambda chunk: np.prod(chunk.length or 1) * chunk.rows.size)


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def within_memory(compile: Callable[[], Any]) -> tuple[Any, int | None]:
    """What is compiled; where memory does not suffice, None and the bytes that the compiler says were needed."""
    try:
        return compile(), None
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        used = re.search(r"(?:Used |\()([\d.]+)([KMGT]?)\)? (?:of|exceeds)", str(error))
        return None, int(float(used[1]) * 1024 ** " KMGT".index(used[2] or " ")) if used else None

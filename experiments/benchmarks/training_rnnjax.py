"""The training benchmark's rnnjax: the road that ``rnnjax.training.loop`` takes, without checkpoints."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.training_course import Course
from rnnjax.data.plan import Chunk
from rnnjax.layers.carried import CARRY
from rnnjax.training.runner import Runner
from rnnjax.training.state import with_carry


class RnnjaxPeer:
    """Trains by :class:`rnnjax.training.runner.Runner`.

    Args:
      course: what to train.
      devices: JAX devices; None for all.
    """

    def __init__(self, course: Course, devices: Sequence[Any] | None = None):
        self._course = course
        self.program = Runner(course.part.experiment, course.dataset, devices)
        self._apply = jax.jit(self._applied)
        self.reset(0)

    def reset(self, seed: int) -> None:
        fresh = self.program.create_state(seed)
        self._carry = {} if fresh.carry is None else {CARRY: fresh.carry}
        self._state = self.program.place(fresh)

    def begin(self) -> None:
        self._state = with_carry(self._state, self.program.fresh_carry())

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        return {}

    def train(self, chunks: list[Chunk]) -> float:
        loss, steps = 0.0, sum(chunk.steps for chunk in chunks)
        pending: list[tuple[Chunk, Any]] = []
        for fed in self.program.feed_training(chunks, epoch=0):
            self._state, sums = self.program.train(self._state, fed)
            pending.append((fed.chunk, sums))
            if len(pending) > 1:  # as in the loop: the chunk before is looked at while the devices work on this one
                loss += _loss(*pending.pop(0))
        return (loss + sum(_loss(*rest) for rest in pending)) / steps

    def outputs(self, split: str, chunks: list[Chunk]) -> Iterator[np.ndarray]:
        dataset, carry = self._course.dataset, self._carry
        stored = getattr(dataset, split).stored()
        variables = self.program.on_host(self._state).variables()
        for chunk in chunks:
            made = []
            for rows in chunk.rows:
                batch = dataset.preprocess.on_device(self._course.cut(stored, rows, chunk.length))
                outputs, carry = self._apply(variables, carry, {name: batch[name] for name in dataset.spec.inputs})
                made.append(outputs)
            yield np.concatenate(made)

    def quality(self) -> float:
        return self.program.evaluate(self._state.variables(), "validation")[self._course.part.metric.name]

    def _applied(self, variables: Any, carry: Any, inputs: Any) -> tuple[Any, Any]:
        made, after = self._course.model.apply({**variables, **carry}, **inputs, mutable=list(carry))
        return self._course.part.outputs(made), after


def _loss(chunk: Chunk, sums: Any) -> float:
    """The losses of a chunk's steps, added up."""
    real = chunk.mask.any(1)
    return float((np.asarray(sums["loss"])[real] / np.asarray(sums["weight"])[real]).sum())

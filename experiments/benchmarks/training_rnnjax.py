"""The training benchmark's rnnjax: the road that ``rnnjax.training.loop`` takes, without checkpoints."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.training_recipes import Course
from rnnjax.data.plan import Chunk
from rnnjax.experiment import Experiment
from rnnjax.training.runner import Runner


class RnnjaxPeer:
    """Trains by :class:`rnnjax.training.runner.Runner`.

    Args:
      course: what to train.
      devices: JAX devices; None for all.
    """

    def __init__(self, course: Course, devices: Sequence[Any] | None = None):
        self._course = course
        self.program = Runner(Experiment(**vars(course.recipe.config)), course.dataset, devices)
        self._apply = jax.jit(course.model.apply)
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._state = self.program.parallel.replicate(self.program.create_state(seed))

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        return {}

    def train(self, chunks: list[Chunk]) -> float:
        loss, examples = 0.0, sum(chunk.examples for chunk in chunks)
        pending: list[tuple[Chunk, Any]] = []
        for fed in self.program.feed_training(chunks, epoch=0):
            self._state, sums = self.program.train(self._state, fed)
            pending.append((fed.chunk, sums))
            if len(pending) > 1:  # as in the loop: the chunk before is looked at while the devices work on this one
                loss += _loss(*pending.pop(0))
        return (loss + sum(_loss(*rest) for rest in pending)) / examples

    def logits(self, split: str, chunk: Chunk) -> np.ndarray:
        examples = getattr(self._course.dataset, split)
        rows = chunk.rows.reshape(-1)
        inputs = self._course.dataset.preprocess.on_device({"inputs": examples["inputs"][rows]})["inputs"]
        lengths = {} if examples.lengths is None else {"lengths": examples.lengths[rows]}
        if chunk.length is not None:
            inputs = inputs[:, : chunk.length]
        variables = self.program.parallel.to_host(self._state).variables()
        return np.asarray(self._apply(variables, inputs, **lengths))

    def accuracy(self) -> float:
        return self.program.evaluate(self._state.variables(), "validation")["accuracy"]


def _loss(chunk: Chunk, sums: Any) -> float:
    return float(np.asarray(sums["loss"])[chunk.mask.any(1)].sum())

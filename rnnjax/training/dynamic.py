"""Dynamic evaluation: a model that goes on learning from what it has just been evaluated on.

Each window is predicted first and learnt from then, so that no prediction has seen what it predicts (Krause et al.
2018, "Dynamic evaluation of neural sequence models", arXiv:1709.07432, equations 4 and 5, with plain SGD).
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnjax.data import Dataset
from rnnjax.data.spec import nested
from rnnjax.layers.carried import CARRY
from rnnjax.layers.precision import at_precision
from rnnjax.tasks import Task
from rnnjax.training import roles

Array = jax.Array

_WINDOWS = 32
"""Windows of a compiled call."""


@dataclass(frozen=True, eq=False)
class DynamicEvaluation:
    """A model to be evaluated as it adapts, on one device; any number of rates compile once.

    Attributes:
      model: with its recurrence :class:`rnnjax.Carried`, or without a carry.
      task: what its outputs mean.
      dataset: whose plan says in what order its examples are read.
      streams: rows that are read side by side and adapt the same parameters; fewer adapt more often.
    """

    model: nn.Module
    task: Task
    dataset: Dataset
    streams: int

    def __call__(self, variables: Mapping[str, Any], split: str, rate: float, decay: float = 0.0) -> dict[str, float]:
        """The task's metrics of a split, every target counted once, with the parameters of before its window.

        After each window ``params += decay * (trained - params) - rate * gradient`` of its mean loss over all streams.
        Nothing is clipped, dropout is off, and collections other than the parameters stay as they are.

        Args:
          variables: of the trained model; they are not changed.
          split: ``train``, ``validation`` or ``test``.
          rate: the learning rate; 0 gives the metrics of ordinary evaluation.
          decay: the share of the way back to the trained parameters that a step goes.
        """
        trained = jax.device_put({name: tree for name, tree in variables.items() if name != CARRY})
        how = (np.float32(rate), np.float32(decay))
        state, total = (trained["params"], self._beginning()), {}
        for windows in self._windows(split):
            state, sums = self._chunk(trained, state, windows, how)
            for name, value in sums.items():
                total[name] = total.get(name, 0.0) + np.asarray(value, np.float64).sum(0)
        return self.task.finish(total)

    def _windows(self, split: str) -> Iterator[dict[str, np.ndarray]]:
        examples = self.dataset.split(split)
        for chunk in self.dataset.plan.evaluate(examples, batch_size=self.streams, steps_per_call=_WINDOWS):
            arrays = {name: np.asarray(array)[chunk.rows] for name, array in examples.stored().items()}
            yield {**arrays, "mask": chunk.mask}

    def _beginning(self) -> Any:
        arguments = self.dataset.spec.zeros()
        carry = jax.jit(lambda: self.model.init(jax.random.key(0), **arguments).get(CARRY))()
        return None if carry is None else roles.fresh(carry, self.streams)

    @functools.cached_property
    def _chunk(self) -> Any:
        return jax.jit(at_precision(getattr(self.model, "precision", "default"), self._adapted))

    def _adapted(self, trained: Any, state: Any, windows: Any, how: tuple[Array, Array]) -> tuple[Any, Any]:
        """The parameters and the carry after windows ``[K, B, ...]``, and the sums of each."""
        rate, decay = how

        def objective(params: Any, carry: Any, batch: Any) -> tuple[Array, tuple[Any, Any]]:
            arrays = self.dataset.preprocess.on_device(batch)
            arguments = nested({name: arrays[name] for name in self.dataset.spec.inputs})
            kept = {**trained, "params": params} | ({} if carry is None else {CARRY: carry})
            outputs, changed = self.model.apply(kept, train=False, mutable=[CARRY], **arguments)  # pyright: ignore
            sums = self.task.sums(outputs, batch, train=False)
            loss = sums["loss"] / jnp.maximum(sums["weight"], 1)
            return loss, (sums, None if carry is None else changed[CARRY])

        def moved(param: Array, start: Array, gradient: Array) -> Array:
            return (param + decay * (start - param) - rate * gradient).astype(param.dtype)

        def one(state: Any, batch: Any) -> tuple[Any, Any]:
            params, carry = state
            gradients, (sums, carry) = jax.grad(objective, has_aux=True)(params, carry, batch)
            params = jax.tree.map(moved, params, trained["params"], gradients)
            return (params, carry), sums

        return lax.scan(one, state, windows)

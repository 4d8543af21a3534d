"""The training benchmark's Keras: a model, compiled, trained by ``fit`` on arrays in memory."""

import importlib
import itertools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from rnnjax.config import OptimConfig
from rnnjax.data.plan import Chunk
from rnnjax.errors import UsageError

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported
keras: Any = importlib.import_module("keras")  # of the extra bench; without it, only this peer fails

Batch = Mapping[str, np.ndarray]
"""Arrays of a split at some rows, padded to the length of their chunk."""
Weights = list[tuple[Any, list[np.ndarray]]]
"""Layers, and the arrays that each of them has."""


class KerasModel:
    """A part's model in Keras.

    Attributes:
      network: the model, not yet compiled.
      loss: of Keras.
      carried: its layers that go on from batch to batch, with their ``states`` and a way to ``reset_state``.
    """

    network: Any
    loss: Any
    carried: tuple[Any, ...] = ()

    def inputs(self, batch: Batch) -> Any:
        """What the network reads."""
        return batch["inputs"]

    def targets(self, batch: Batch) -> Any:
        """What the loss compares its outputs with."""
        return batch["targets"]

    def weights(self, params: Any) -> Weights:
        """Each layer with its weights, of the parameters that rnnjax's model has."""
        raise NotImplementedError

    def named(self, weights: Mapping[str, list[np.ndarray]]) -> Weights:
        """The same of layers by their names in the network."""
        return [(self.network.get_layer(name), arrays) for name, arrays in weights.items()]


class ClassesModel(KerasModel):
    """That of classes; a single logit means class 1 of two."""

    def __init__(self, course: Course):
        smoothing, self._classes = course.part.experiment.optim.label_smoothing, course.outputs
        losses = keras.losses.BinaryCrossentropy if course.outputs == 1 else keras.losses.CategoricalCrossentropy
        self.loss = losses(from_logits=True, label_smoothing=smoothing)

    def targets(self, batch: Batch) -> Any:
        """One-hot classes ``[N, C]``, or ``[N, 1]``."""
        labels = batch["labels"]
        return np.eye(self._classes, dtype=np.float32)[labels] if self._classes > 1 else labels[:, None]


class KerasPeer:
    """Trains by ``keras.Model.fit`` on the JAX backend, on one device."""

    def __init__(self, course: Course):
        if keras.backend.backend() != "jax":
            raise UsageError(f"the benchmark needs KERAS_BACKEND=jax, Keras runs on {keras.backend.backend()}")
        self._course = course
        self._arrays = {split: course.arrays(split) for split in ("train", "validation")}
        self.model: KerasModel = course.model_of("keras")
        self._network = self.model.network
        self._network.compile(optimizer=_optimizer(course.part.experiment.optim), loss=self.model.loss)
        self._network.optimizer.build(self._network.trainable_variables)
        self._fresh = [np.array(variable) for variable in self._network.optimizer.variables]
        self.reset(0)

    def reset(self, seed: int) -> None:
        for variable, value in zip(self._network.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        for layer, arrays in self.model.weights(self._course.parameters(seed)):
            layer.set_weights(arrays)
        self.begin()

    def begin(self) -> None:
        for layer in self.model.carried:
            layer.reset_state()

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        return {}

    def train(self, chunks: list[Chunk]) -> float:
        loss = 0.0
        for length, group in itertools.groupby(chunks, key=lambda chunk: chunk.length):
            # A batch without a real row is no step; all others are full in training.
            rows = np.concatenate([chunk.rows[chunk.mask.any(1)].reshape(-1) for chunk in group])
            batch = self._course.cut(self._arrays["train"], rows, length)
            history = self._network.fit(
                self.model.inputs(batch),
                self.model.targets(batch),
                batch_size=self._course.batch_size,
                shuffle=False,  # the rows are already
                verbose=0,
            )
            loss += float(history.history["loss"][-1]) * len(rows)
        return loss / sum(chunk.examples for chunk in chunks)

    def outputs(self, split: str, chunks: list[Chunk]) -> Iterator[np.ndarray]:
        states = [state for layer in self.model.carried for state in layer.states]
        kept = [np.array(state) for state in states]
        self.begin()
        try:
            for chunk in chunks:
                batch = self._course.cut(self._arrays[split], chunk.rows.reshape(-1), chunk.length)
                yield self._network.predict(self.model.inputs(batch), batch_size=self._course.batch_size, verbose=0)
        finally:
            for state, value in zip(states, kept, strict=True):
                state.assign(value)

    def quality(self) -> float:
        return self._course.quality_of(self.outputs("validation", self._course.validation_plan()))


def _optimizer(optim: OptimConfig) -> Any:
    optimizer = keras.optimizers.AdamW(
        optim.learning_rate,
        weight_decay=optim.weight_decay,
        epsilon=1e-8,  # as Optax and PyTorch have it
        global_clipnorm=optim.clip_norm or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer

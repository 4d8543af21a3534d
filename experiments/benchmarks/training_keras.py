"""The training benchmark's Keras: a functional model, compiled, trained by ``fit`` on arrays in memory."""

import importlib
import itertools
import os
from typing import Any

import numpy as np

from experiments.benchmarks.training_recipes import Course
from rnnjax.config import Config, TextModel
from rnnjax.data.plan import Chunk
from rnnjax.errors import UsageError
from rnnjax.layers.convert import to_keras

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported
keras: Any = importlib.import_module("keras")  # of the extra bench; without it, only this peer fails


class KerasPeer:
    """Trains by ``keras.Model.fit`` on the JAX backend, on one device."""

    def __init__(self, course: Course):
        if keras.backend.backend() != "jax":
            raise UsageError(f"the benchmark needs KERAS_BACKEND=jax, Keras runs on {keras.backend.backend()}")
        self._course = course
        self._arrays = {split: course.arrays(split) for split in ("train", "validation")}
        config = course.recipe.config
        self._batch = config.data.batch_size
        text = isinstance(course.check_model(), TextModel)
        self._model = _text_model(course) if text else _image_model(course)
        smoothing = config.optim.label_smoothing
        losses = keras.losses.BinaryCrossentropy if course.outputs == 1 else keras.losses.CategoricalCrossentropy
        loss = losses(from_logits=True, label_smoothing=smoothing)
        self._model.compile(optimizer=_optimizer(config), loss=loss)
        self._model.optimizer.build(self._model.trainable_variables)
        self._fresh = [np.array(variable) for variable in self._model.optimizer.variables]
        labels = self._arrays["train"]["labels"]
        self._targets = np.eye(course.outputs, dtype=np.float32)[labels] if course.outputs > 1 else labels[:, None]
        self.reset(0)

    def reset(self, seed: int) -> None:
        params = self._course.parameters(seed)
        for variable, value in zip(self._model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        if "Embed_0" in params:
            self._model.get_layer("embedding").set_weights([params["Embed_0"]["embedding"]])
        for name, layer in params["recurrent"].items():
            self._model.get_layer(name).set_weights(to_keras(layer, "lstm"))
        dense = params["head"]["Dense_0"]
        self._model.get_layer("logits").set_weights([dense["kernel"], dense["bias"]])

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        return {}

    def train(self, chunks: list[Chunk]) -> float:
        loss = 0.0
        for length, group in itertools.groupby(chunks, key=lambda chunk: chunk.length):
            # A batch without a real row is no step; all others are full in training.
            rows = np.concatenate([chunk.rows[chunk.mask.any(1)].reshape(-1) for chunk in group])
            history = self._model.fit(
                self._arrays["train"]["inputs"][rows, :length],
                self._targets[rows],
                batch_size=self._batch,
                shuffle=False,  # the rows are already
                verbose=0,
            )
            loss += float(history.history["loss"][-1]) * len(rows)
        return loss / sum(chunk.examples for chunk in chunks)

    def logits(self, split: str, chunk: Chunk) -> np.ndarray:
        inputs = self._arrays[split]["inputs"][chunk.rows.reshape(-1), : chunk.length]
        return self._model.predict(inputs, batch_size=self._batch, verbose=0)

    def accuracy(self) -> float:
        plan = enumerate(self._course.validation_plan())
        return self._course.accuracy_of({number: self.logits("validation", chunk) for number, chunk in plan})


def _optimizer(config: Config) -> Any:
    optim = config.optim
    optimizer = keras.optimizers.AdamW(
        optim.learning_rate,
        weight_decay=optim.weight_decay,
        epsilon=1e-8,  # as Optax and PyTorch have it
        global_clipnorm=optim.clip_norm or None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _image_model(course: Course) -> Any:
    model, layers = course.check_model(), keras.layers
    inputs = outputs = layers.Input(course.arrays("validation")["inputs"].shape[1:])
    for depth, features in enumerate(model.features):
        upper = depth + 1 < len(model.features)
        outputs = layers.LSTM(features, return_sequences=upper, name=f"layers_{depth}")(outputs)
        outputs = layers.Dropout(model.dropout)(outputs)
    return keras.Model(inputs, layers.Dense(course.outputs, name="logits")(outputs))


def _text_model(course: Course) -> Any:
    model, layers = course.check_model(), keras.layers
    assert isinstance(model, TextModel)
    inputs = layers.Input((None,), dtype="int32")
    embedding = layers.Embedding(course.vocabulary_size, model.embedding_features, mask_zero=True, name="embedding")
    words = layers.SpatialDropout1D(model.embedding_dropout)(embedding(inputs))
    lstm = layers.LSTM(model.features[0], return_sequences=True)
    outputs = layers.Bidirectional(lstm, name="layers_0")(words)
    pooled = layers.Dropout(model.dropout)(
        layers.GlobalAveragePooling1D()(outputs)
    )  # over real words: it sees the mask
    return keras.Model(inputs, layers.Dense(course.outputs, name="logits")(pooled))

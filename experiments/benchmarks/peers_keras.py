"""The peer Keras 3 on JAX: a functional model, ``train_on_batch`` and ``predict_on_batch``."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.task import CLASSES, LEARNING_RATE, Task
from rnnjax.errors import UsageError
from rnnjax.layers.convert import to_keras

os.environ.setdefault("KERAS_BACKEND", "jax")  # read when Keras is imported
keras: Any = importlib.import_module("keras")


def make_call(task: Task) -> Callable[[], Any]:
    """One call of the task, as a user of Keras makes it; the data are JAX arrays on the device.

    Raises:
      UsageError: if Keras runs on another backend than JAX.
    """
    if keras.backend.backend() != "jax":
        raise UsageError(f"the benchmark needs KERAS_BACKEND=jax, Keras runs on {keras.backend.backend()}")
    model = _model(task)
    optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8)  # the epsilon of optax and PyTorch
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=True)
    inputs = [jnp.array(task.inputs)]
    if task.lengths is not None:
        inputs.append(jnp.array(np.arange(task.shape.T) < task.lengths[:, None]))
    if task.mode == "forward":
        return lambda: model.predict_on_batch(inputs)
    labels = jnp.array(task.labels)
    return lambda: model.train_on_batch(inputs, labels)


def _model(task: Task) -> Any:
    B, T, D, H = task.shape.B, task.shape.T, task.shape.D, task.shape.H
    inputs = [keras.Input((T, D), batch_size=B)]
    masks = {}
    if task.lengths is not None:
        inputs.append(keras.Input((T,), batch_size=B, dtype="bool"))
        masks["mask"] = inputs[1]
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[task.cell]
    policy = "float32" if task.dtype == "float32" else f"mixed_{task.dtype}"
    layer = kind(H, dtype=policy)
    if task.directions == 2:
        layer = keras.layers.Bidirectional(layer, dtype=policy)
    head = keras.layers.Dense(CLASSES)
    model = keras.Model(inputs, head(layer(inputs[0], **masks)))
    layer.set_weights(to_keras(task.weights["recurrent"], task.cell))
    head.set_weights([task.weights["kernel"], task.weights["bias"]])
    return model

"""A forecast by segments in Keras: a model of one's own of stock layers, of which the GRU is called twice."""

from typing import Any

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_keras import KerasModel, Weights, keras
from rnnjax.layers.convert import to_keras

ops: Any = keras.ops


class SegmentNetwork(keras.Model):
    """Reads each column's segments, and answers all segments ahead at once."""

    def __init__(self, features: int, segment: int, horizon: int, columns: int, dropout: float):
        super().__init__()
        layers = keras.layers
        self.segment, self.horizon, self.ahead = segment, horizon, -(-horizon // segment)
        self.segments = layers.Dense(features, "relu", name="segments")
        self.gru = layers.GRU(features, return_state=True, name="gru")
        self.position = layers.Embedding(self.ahead, features // 2, name="position")
        self.column = layers.Embedding(columns, features // 2, name="column")
        self.dropout = layers.Dropout(dropout)
        self.head = layers.Dense(segment, name="head")

    def call(self, inputs: Any, training: bool = False):
        """``[B, L, C]`` to ``[B, H, C]``."""
        (rows, _, columns), last = ops.shape(inputs), inputs[:, -1:]
        series = ops.swapaxes(inputs - last, 1, 2)
        _, carry = self.gru(self.segments(ops.reshape(series, (rows * columns, -1, self.segment))))
        outputs, _ = self.gru(self._asked(rows, columns), initial_state=ops.repeat(carry, self.ahead, 0))
        made = self.head(self.dropout(outputs, training=training))
        made = ops.reshape(made, (rows, columns, -1))[..., : self.horizon]
        return ops.swapaxes(made, 1, 2) + last

    def _asked(self, rows: int, columns: int) -> Any:
        """What each segment ahead of each column is asked with, ``[B * C * m, 1, features]``."""
        position, column = self.position(ops.arange(self.ahead)), self.column(ops.arange(columns))
        shape = (rows, columns, self.ahead, position.shape[-1])
        parts = ops.broadcast_to(position, shape), ops.broadcast_to(column[:, None], shape)
        return ops.reshape(ops.concatenate(parts, -1), (-1, 1, 2 * shape[-1]))


class Model(KerasModel):
    """The model of the absolute error."""

    def __init__(self, course: Course):
        model, (_, horizon, columns) = course.part.experiment.model, course.arrays("validation")["targets"].shape
        self.network = SegmentNetwork(model.features, model.segment, horizon, columns, model.dropout)
        self.network(course.arrays("validation")["inputs"][:1])  # makes the weights
        self.loss = keras.losses.MeanAbsoluteError()

    def weights(self, params: Any) -> Weights:
        """Of each layer."""
        dense = {name: [params[name]["kernel"], params[name]["bias"]] for name in ("segments", "head")}
        tables = {name: [params[name]] for name in ("position", "column")}
        return self.named(dense | tables | {"gru": to_keras(params["recurrent"], "gru")})

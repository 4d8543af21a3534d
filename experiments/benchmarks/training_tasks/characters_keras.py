"""A text character by character in Keras: stock layers, and one that keeps an LSTM's states.

``LSTM(stateful=True)`` has this too, but loses its states in ``fit`` on the JAX backend, which does not know of them.
"""

from typing import Any

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_keras import KerasModel, Weights, keras
from rnnjax.layers.convert import to_keras


class CarriedLSTM(keras.layers.Layer):
    """An LSTM that begins where it ended before, its states among the variables that no gradient changes."""

    def __init__(self, features: int, rows: int, **options: Any):
        super().__init__(**options)
        self.lstm = keras.layers.LSTM(features, return_sequences=True, return_state=True)
        shape = (rows, features)
        self.states = [self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name) for name in "hc"]

    def call(self, inputs: Any):
        """``[B, T, D]`` to ``[B, T, features]``."""
        outputs, *states = self.lstm(inputs, initial_state=[keras.ops.convert_to_tensor(part) for part in self.states])
        for part, after in zip(self.states, states, strict=True):
            part.assign(after)
        return outputs

    def reset_state(self) -> None:
        """Begins anew."""
        for part in self.states:
            part.assign(keras.ops.zeros(part.shape))


class Model(KerasModel):
    """LSTM layers whose states stay from batch to batch."""

    def __init__(self, course: Course):
        model, layers = course.part.experiment.model, keras.layers
        inputs = layers.Input(batch_shape=(course.batch_size, None), dtype="int32")
        words = layers.Embedding(course.vocabulary_size, model.embedding_features, name="embedding")(inputs)
        outputs = layers.SpatialDropout1D(model.embedding_dropout)(words)
        self.carried = tuple(CarriedLSTM(features, course.batch_size) for features in model.features)
        for lstm in self.carried:
            outputs = layers.Dropout(model.dropout)(lstm(outputs))
        self.network = keras.Model(inputs, layers.Dense(course.outputs, name="logits")(outputs))
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)

    def weights(self, params: Any) -> Weights:
        """Of the embedding, the recurrent layers and the last one."""
        head, recurrent = params["head"], params["recurrent"]
        own = {"embedding": [params["Embed_0"]["embedding"]], "logits": [head["kernel"], head["bias"]]}
        lstms = [(one.lstm, to_keras(recurrent[f"layers_{depth}"], "lstm")) for depth, one in enumerate(self.carried)]
        return [*self.named(own), *lstms]

"""Images row by row in Keras: a functional model of stock layers."""

from typing import Any

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_keras import ClassesModel, Weights, keras
from rnnjax.layers.convert import to_keras


class Model(ClassesModel):
    """LSTM layers over rows of pixels, of the highest the last output."""

    def __init__(self, course: Course):
        super().__init__(course)
        model, layers = course.part.experiment.model, keras.layers
        inputs = outputs = layers.Input(course.arrays("validation")["inputs"].shape[1:])
        for depth, features in enumerate(model.features):
            upper = depth + 1 < len(model.features)
            outputs = layers.LSTM(features, return_sequences=upper, name=f"layers_{depth}")(outputs)
            outputs = layers.Dropout(model.dropout)(outputs)
        self.network = keras.Model(inputs, layers.Dense(course.outputs, name="logits")(outputs))

    def weights(self, params: Any) -> Weights:
        """Of the recurrent layers and the last one."""
        made = {name: to_keras(layer, "lstm") for name, layer in params["recurrent"].items()}
        dense = params["head"]["Dense_0"]
        return self.named(made | {"logits": [dense["kernel"], dense["bias"]]})

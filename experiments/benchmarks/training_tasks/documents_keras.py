"""Documents in Keras: a functional model of stock layers, which hand the mask on."""

from typing import Any

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_keras import ClassesModel, Weights, keras
from rnnjax.layers.convert import to_keras


class Model(ClassesModel):
    """A bidirectional LSTM over words, and the mean of its outputs."""

    def __init__(self, course: Course):
        super().__init__(course)
        model, layers = course.part.experiment.model, keras.layers
        inputs = layers.Input((None,), dtype="int32")
        embedding = layers.Embedding(course.vocabulary_size, model.embedding_features, mask_zero=True, name="embedding")
        words = layers.SpatialDropout1D(model.embedding_dropout)(embedding(inputs))
        lstm = layers.LSTM(model.features[0], return_sequences=True)
        outputs = layers.Bidirectional(lstm, name="layers_0")(words)
        pooled = layers.GlobalAveragePooling1D()(outputs)  # over real words: it sees the mask
        logits = layers.Dense(course.outputs, name="logits")(layers.Dropout(model.dropout)(pooled))
        self.network = keras.Model(inputs, logits)

    def weights(self, params: Any) -> Weights:
        """Of the embedding, the recurrence and the last layer."""
        dense = params["head"]["Dense_0"]
        made = {"embedding": [params["Embed_0"]["embedding"]], "logits": [dense["kernel"], dense["bias"]]}
        return self.named(made | {"layers_0": to_keras(params["recurrent"]["layers_0"], "lstm")})

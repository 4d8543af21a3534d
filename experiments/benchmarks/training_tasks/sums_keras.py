"""Sums in Keras: a stock bidirectional LSTM reads, and a layer of plain ones that scans over its steps writes."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_keras import Batch, KerasModel, Weights, keras
from rnnjax.layers.convert import to_keras

ops: Any = keras.ops


class AttentionDecoder(keras.layers.Layer):
    """An LSTM cell with additive attention, which is fed what it has put out before."""

    def __init__(self, features: int, **options: Any):
        super().__init__(**options)
        layers = keras.layers
        self.features, self.supports_masking = features, True
        self.first_c = layers.Dense(features, "tanh", name="first_c")
        self.first_h = layers.Dense(features, "tanh", name="first_h")
        self.cell = layers.LSTMCell(features, name="cell")
        self.key = layers.Dense(features, use_bias=False, name="key")
        self.query = layers.Dense(features, name="query")
        self.score = layers.Dense(1, use_bias=False, name="score")
        self.combine = layers.Dense(features, "tanh", name="combine")

    def build(self, words_shape: Any, memory_shape: Any, summary_shape: Any, real_shape: Any):
        """Builds the layers that it is made of, by the shapes of what it is called with."""
        for layer in (self.first_c, self.first_h):
            layer.build(summary_shape)
        self.cell.build((None, words_shape[-1] + self.features))
        self.key.build(memory_shape)
        self.query.build((None, self.features))
        self.score.build((None, None, self.features))
        self.combine.build((None, self.features + memory_shape[-1]))

    def call(self, words: Any, memory: Any, summary: Any, real: Any):
        """Words ``[B, T, E]``, and a memory ``[B, S, F]`` with its real steps ``[B, S]``, to ``[B, T, features]``."""
        keys = self.key(memory)

        def step(carry: Any, word: Any) -> tuple[Any, Any]:
            h, c, fed = carry
            _, (h, c) = self.cell(ops.concatenate([word, fed], -1), [h, c])
            scores = self.score(ops.tanh(self.query(h)[:, None] + keys))[..., 0]
            weights = ops.softmax(ops.where(real, scores, -1e30), -1)
            context = ops.einsum("bs,bsf->bf", weights, memory)
            fed = self.combine(ops.concatenate([h, context], -1))
            return (h, c, fed), fed

        h, c = self.first_h(summary), self.first_c(summary)
        _, made = ops.scan(step, (h, c, ops.zeros_like(h)), ops.swapaxes(words, 0, 1))
        return ops.swapaxes(made, 0, 1)

    def compute_mask(self, *inputs: Any):
        """None: all that is written is real."""

    def compute_output_shape(self, words_shape: Any, memory_shape: Any, summary_shape: Any, real_shape: Any):
        """That of the words, as wide as the layer."""
        return (*words_shape[:-1], self.features)


class Model(KerasModel):
    """An encoder in both directions, and a decoder that looks at all that it has read."""

    def __init__(self, course: Course):
        model, layers = course.part.experiment.model, keras.layers
        width, read = model.embedding_features, model.encoder_features[0]
        source, before = (layers.Input((None,), dtype="int32") for _ in range(2))
        words = layers.Embedding(course.vocabulary_size, width, mask_zero=True, name="source")(source)
        lstm = layers.LSTM(read, return_sequences=True, return_state=True)
        memory, forward, _, backward, _ = layers.Bidirectional(lstm, name="encoder")(words)
        written = layers.Embedding(course.outputs, width, name="target")(before)
        self._decoder = AttentionDecoder(model.features[0], name="decoder")
        summary = layers.Concatenate()([forward, backward])
        outputs = self._decoder(written, memory, summary, ops.not_equal(source, 0))
        self.network = keras.Model([source, before], layers.Dense(course.outputs, name="logits")(outputs))
        self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)

    def inputs(self, batch: Batch) -> Any:
        """Sources, and of each target what is read before it."""
        before = np.pad(np.maximum(batch["targets"], 0), ((0, 0), (1, 0)))[:, :-1]
        return [batch["inputs"], before]

    def weights(self, params: Any) -> Weights:
        """Of the encoder, and of each part of the decoder."""
        encoder, decoder = params["encoder"], params["decoder"]
        dense = [
            (self._decoder.first_c, decoder["first_0"]),
            (self._decoder.first_h, decoder["first_1"]),
            (self._decoder.combine, decoder["step"]["combine"]),
            (self.network.get_layer("logits"), decoder["head"]),
            *((getattr(self._decoder, name), layer) for name, layer in decoder["attend"].items()),
        ]
        made = [(part, [layer[name] for name in ("kernel", "bias") if name in layer]) for part, layer in dense]
        named = {
            "source": [encoder["Embed_0"]["embedding"]],
            "encoder": to_keras(encoder["recurrent"]["layers_0"], "lstm"),
            "target": [decoder["embedding"]["embedding"]],
        }
        return [*made, (self._decoder.cell, to_keras({"cell": decoder["cells_0"]}, "lstm")), *self.named(named)]

"""Documents in PyTorch: ``nn.LSTM`` over packed or padded texts."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_tasks import padded_torch
from experiments.benchmarks.training_torch import Batch, ClassesModel, torch
from rnnjax.layers.convert import dense_to_torch, embedding_to_torch, to_torch


class Model(ClassesModel):
    """A bidirectional LSTM over words, and the mean of its outputs."""

    ways, way = padded_torch.WAYS, "packed"

    def __init__(self, course: Course):
        super().__init__(course)
        model = course.part.experiment.model
        width, features = model.embedding_features, model.features[0]
        self.embedding = torch.nn.Embedding(course.vocabulary_size, width)
        self.embedding_dropout = torch.nn.Dropout1d(model.embedding_dropout)
        self.lstm = torch.nn.LSTM(width, features, bidirectional=True, batch_first=True)
        self.dropout = torch.nn.Dropout(model.dropout)
        self.logits = torch.nn.Linear(2 * features, course.outputs)

    def forward(self, batch: Batch):
        """Ids ``[B, T]`` to ``[B, C]``."""
        words = self.embedding(batch["inputs"]).transpose(1, 2)
        words, lengths = self.embedding_dropout(words).transpose(1, 2), batch["lengths"]  # one mask for all words
        if self.way == "packed":
            summed = padded_torch.packed(self.lstm, words, lengths)[0].sum(1)
        else:  # a sum over the real words does not mind their order
            forward, backward, _ = padded_torch.directions(self.lstm, words, lengths)
            summed = torch.cat([forward.sum(1), backward.sum(1)], -1)
        return self.logits(self.dropout(summed / lengths[:, None].to(summed.device)))

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """Of the embedding, the recurrence and the last layer."""
        return (
            embedding_to_torch(params["Embed_0"], "embedding")
            | to_torch(params["recurrent"], "lstm", "lstm")
            | dense_to_torch(params["head"]["Dense_0"], "logits")
        )

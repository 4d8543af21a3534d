"""A text character by character in PyTorch: ``nn.LSTM``, whose state is handed from window to window."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_torch import Batch, TokensModel, torch
from rnnjax.layers.convert import dense_to_torch, embedding_to_torch, to_torch


class Model(TokensModel):
    """LSTM layers that begin where they ended before."""

    def __init__(self, course: Course):
        super().__init__()
        model = course.part.experiment.model
        self.embedding = torch.nn.Embedding(course.vocabulary_size, model.embedding_features)
        self.embedding_dropout = torch.nn.Dropout1d(model.embedding_dropout)
        self.lstm = torch.nn.LSTM(
            model.embedding_features,
            model.features[0],
            num_layers=len(model.features),
            dropout=model.dropout if len(model.features) > 1 else 0.0,
            batch_first=True,
        )
        self.dropout = torch.nn.Dropout(model.dropout)
        self.logits = torch.nn.Linear(model.features[-1], course.outputs)

    def forward(self, batch: Batch):
        """Ids ``[B, T]`` to ``[B, T, V]``."""
        words = self.embedding(batch["inputs"]).transpose(1, 2)
        words = self.embedding_dropout(words).transpose(1, 2)  # one mask for all words
        outputs, carry = self.lstm(words, self.carry)
        self.carry = tuple(part.detach() for part in carry)
        return self.logits(self.dropout(outputs))

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """Of the embedding, the recurrence and the last layer."""
        return (
            embedding_to_torch(params["Embed_0"], "embedding")
            | to_torch(params["recurrent"], "lstm", "lstm")
            | dense_to_torch(params["head"], "logits")
        )

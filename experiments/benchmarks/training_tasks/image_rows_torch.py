"""Images row by row in PyTorch: ``nn.LSTM``."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_torch import Batch, ClassesModel, torch
from rnnjax.layers.convert import dense_to_torch, to_torch


class Model(ClassesModel):
    """LSTM layers over rows of pixels, of the highest the last output."""

    def __init__(self, course: Course):
        super().__init__(course)
        model = course.part.experiment.model
        self.lstm = torch.nn.LSTM(
            course.arrays("validation")["inputs"].shape[-1],
            model.features[0],
            num_layers=len(model.features),
            dropout=model.dropout if len(model.features) > 1 else 0.0,
            batch_first=True,
        )
        self.dropout = torch.nn.Dropout(model.dropout)
        self.logits = torch.nn.Linear(model.features[-1], course.outputs)

    def forward(self, batch: Batch):
        """``[B, T, D]`` to ``[B, C]``."""
        return self.logits(self.dropout(self.lstm(batch["inputs"])[0][:, -1]))

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """Of the recurrence and the last layer."""
        return to_torch(params["recurrent"], "lstm", "lstm") | dense_to_torch(params["head"]["Dense_0"], "logits")

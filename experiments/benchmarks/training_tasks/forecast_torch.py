"""A forecast by segments in PyTorch: ``nn.GRU`` and linear layers."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_torch import Batch, TorchModel, functional, torch
from rnnjax.layers.convert import dense_to_torch, to_torch


class Model(TorchModel):
    """Reads each column's segments, and answers all segments ahead at once."""

    def __init__(self, course: Course):
        super().__init__()
        model, nn = course.part.experiment.model, torch.nn
        features, self._segment = model.features, model.segment
        _, self._horizon, columns = course.arrays("validation")["targets"].shape
        ahead = -(-self._horizon // self._segment)
        self.segments = nn.Linear(self._segment, features)
        self.gru = nn.GRU(features, features, batch_first=True)
        self.position = nn.Parameter(torch.zeros(ahead, features // 2))
        self.column = nn.Parameter(torch.zeros(columns, features // 2))
        self.dropout = nn.Dropout(model.dropout)
        self.head = nn.Linear(features, self._segment)

    def forward(self, batch: Batch):
        """``[B, L, C]`` to ``[B, H, C]``."""
        inputs = batch["inputs"]
        (rows, _, columns), last = inputs.shape, inputs[:, -1:]
        series = (inputs - last).transpose(1, 2).reshape(rows * columns, -1, self._segment)
        _, carry = self.gru(functional.relu(self.segments(series)))
        shape = (rows, columns, *self.position.shape)
        asked = torch.cat([self.position.expand(shape), self.column[:, None].expand(shape)], -1)
        asked = asked.reshape(-1, 1, asked.shape[-1])
        outputs, _ = self.gru(asked, carry.repeat_interleave(shape[2], 1))
        made = self.head(self.dropout(outputs[:, 0])).reshape(rows, columns, -1)[..., : self._horizon]
        return made.transpose(1, 2) + last

    def loss(self, outputs: Any, batch: Batch) -> Any:
        """The absolute error."""
        return functional.l1_loss(outputs, batch["targets"])

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """Of the layers, and the embeddings as they are."""
        return (
            to_torch(params["recurrent"], "gru", "gru")
            | {name: params[name] for name in ("position", "column")}
            | dense_to_torch(params["segments"], "segments")
            | dense_to_torch(params["head"], "head")
        )

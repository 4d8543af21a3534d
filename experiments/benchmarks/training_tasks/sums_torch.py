"""Sums in PyTorch: ``nn.LSTM`` reads, and a loop over ``nn.LSTMCell`` with additive attention writes."""

from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course
from experiments.benchmarks.training_tasks import padded_torch
from experiments.benchmarks.training_torch import Batch, TokensModel, functional, torch
from rnnjax.layers.convert import cell_to_torch, dense_to_torch, embedding_to_torch, to_torch


class Model(TokensModel):
    """An encoder in both directions, and a decoder that looks at all that it has read."""

    ways, way = padded_torch.WAYS, "packed"

    def __init__(self, course: Course):
        super().__init__()
        model, nn = course.part.experiment.model, torch.nn
        width, read, features = model.embedding_features, model.encoder_features[0], model.features[0]
        self.source = nn.Embedding(course.vocabulary_size, width)
        self.encoder = nn.LSTM(width, read, bidirectional=True, batch_first=True)
        self.target = nn.Embedding(course.outputs, width)
        self.first_c, self.first_h = nn.Linear(2 * read, features), nn.Linear(2 * read, features)
        self.cell = nn.LSTMCell(width + features, features)
        self.key = nn.Linear(2 * read, features, bias=False)
        self.query, self.score = nn.Linear(features, features), nn.Linear(features, 1, bias=False)
        self.combine = nn.Linear(features + 2 * read, features)
        self.logits = nn.Linear(features, course.outputs)

    def forward(self, batch: Batch):
        """Ids ``[B, S]`` and targets ``[B, T]``, of which each is read before the next, to ``[B, T, V]``."""
        memory, summary = self._encoded(self.source(batch["inputs"]), batch["lengths"])
        keys, padding = self.key(memory), self._padding(memory, batch["lengths"])
        before = functional.pad(batch["targets"].clamp(min=0), (1, -1))
        h, c = torch.tanh(self.first_h(summary)), torch.tanh(self.first_c(summary))
        fed, made = torch.zeros_like(h), []
        for word in self.target(before).unbind(1):
            h, c = self.cell(torch.cat([word, fed], -1), (h, c))
            scores = self.score(torch.tanh(self.query(h)[:, None] + keys))[..., 0]
            weights = scores.masked_fill(padding, -torch.inf).softmax(-1)
            context = torch.bmm(weights[:, None], memory)[:, 0]
            fed = torch.tanh(self.combine(torch.cat([h, context], -1)))
            made.append(fed)
        return self.logits(torch.stack(made, 1))

    def _encoded(self, words: Any, lengths: Any) -> tuple[Any, Any]:
        if self.way == "packed":
            return padded_torch.packed(self.encoder, words, lengths)
        forward, backward, order = padded_torch.directions(self.encoder, words, lengths)
        rows, ends = torch.arange(len(words), device=words.device), lengths.to(words.device) - 1
        summary = torch.cat([forward[rows, ends], backward[rows, ends]], -1)
        return torch.cat([forward, backward.gather(1, order.expand_as(backward))], -1), summary

    @staticmethod
    def _padding(memory: Any, lengths: Any) -> Any:
        return torch.arange(memory.shape[1], device=memory.device) >= lengths.to(memory.device)[:, None]

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """Of the encoder, and of each part of the decoder."""
        encoder, decoder = params["encoder"], params["decoder"]
        dense = {
            "first_c": decoder["first_0"],
            "first_h": decoder["first_1"],
            "combine": decoder["step"]["combine"],
            "logits": decoder["head"],
            **decoder["attend"],
        }
        state = embedding_to_torch(encoder["Embed_0"], "source") | to_torch(encoder["recurrent"], "lstm", "encoder")
        state |= embedding_to_torch(decoder["embedding"], "target")
        state |= cell_to_torch({"cell": decoder["cells_0"]}, "lstm", "cell")
        for name, layer in dense.items():
            state |= dense_to_torch(layer, name)
        return state

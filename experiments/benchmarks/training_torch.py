"""The training benchmark's PyTorch: ``nn.LSTM`` (oneDNN or cuDNN) and the ordinary training loop."""

import importlib
import time
from typing import Any

import numpy as np

from experiments.benchmarks.training_recipes import Course
from rnnjax.config import TextModel
from rnnjax.data.plan import Chunk
from rnnjax.layers.convert import to_torch

torch: Any = importlib.import_module("torch")  # of the extra bench; without it, only this peer fails
functional: Any = torch.nn.functional


class Classifier(torch.nn.Module):
    """The recipes' model: rows of an image, or words with lengths, to logits.

    Attributes:
      packed: whether texts are packed, as PyTorch's users do. On a CPU each step's gradient then is a
        zero-filled array of the whole batch's size; so the other way is here too: both directions
        over padded texts, the backward one over each text reversed within its length.
    """

    def __init__(self, course: Course):
        super().__init__()
        model: Any = course.check_model()
        text, self.packed = isinstance(model, TextModel), True
        width = model.embedding_features if text else course.arrays("validation")["inputs"].shape[-1]
        self.embedding = torch.nn.Embedding(course.vocabulary_size, width) if text else None
        self.embedding_dropout = torch.nn.Dropout1d(model.embedding_dropout if text else 0.0)
        self.lstm = torch.nn.LSTM(
            width,
            model.features[0],
            num_layers=len(model.features),
            dropout=model.dropout if len(model.features) > 1 else 0.0,
            bidirectional=model.bidirectional,
            batch_first=True,
        )
        self.dropout = torch.nn.Dropout(model.dropout)
        self.logits = torch.nn.Linear(model.features[-1] * (1 + model.bidirectional), course.outputs)

    def forward(self, inputs, lengths: Any = None):
        """``[B, T, D]``, or ids ``[B, T]`` with ``lengths [B]`` on the host, to ``[B, C]``."""
        if self.embedding is None:
            return self.logits(self.dropout(self.lstm(inputs)[0][:, -1]))
        words = self.embedding_dropout(self.embedding(inputs).transpose(1, 2)).transpose(1, 2)  # one mask for all words
        summed = (self._packed if self.packed else self._padded)(words, lengths)
        return self.logits(self.dropout(summed / lengths[:, None].to(summed.device)))

    def _packed(self, words, lengths):
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        return rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0].sum(1)  # zero in the padding

    def _padded(self, words, lengths):
        lengths, steps = lengths.to(words.device)[:, None], torch.arange(words.shape[1], device=words.device)
        real = steps < lengths
        index = torch.where(real, lengths - 1 - steps, steps)[..., None].expand_as(words)
        zeros = words.new_zeros(1, len(words), self.lstm.hidden_size)
        weights = self.lstm.all_weights
        directions = zip((words, words.gather(1, index)), weights, strict=True)
        # A sum over the real words does not mind their order.
        sums = [
            torch.where(real[..., None], self._lstm(inputs, zeros, weights), 0).sum(1) for inputs, weights in directions
        ]
        return torch.cat(sums, dim=-1)

    def _lstm(self, inputs, zeros, weights):
        return torch.lstm(inputs, (zeros, zeros), weights, True, 1, 0.0, self.training, False, True)[0]


class TorchPeer:
    """Trains on all threads of the CPU, or on one accelerator if PyTorch sees it."""

    def __init__(self, course: Course):
        self._course, self._optim = course, course.recipe.config.optim
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._arrays = {}
        for split in ("train", "validation"):
            tensors = {name: torch.tensor(array) for name, array in course.arrays(split).items()}
            # Lengths stay on the host and are wide: so packing wants them.
            self._arrays[split] = {n: t.long() if n == "lengths" else t.to(self._device) for n, t in tensors.items()}
        self.model = Classifier(course).to(self._device)
        self.reset(0)

    def reset(self, seed: int) -> None:
        params = self._course.parameters(seed)
        state = {f"lstm.{name}": value for name, value in to_torch(params["recurrent"], "lstm").items()}
        if "Embed_0" in params:
            state["embedding.weight"] = params["Embed_0"]["embedding"]
        dense = params["head"]["Dense_0"]
        state |= {"logits.weight": dense["kernel"].T, "logits.bias": dense["bias"]}
        self.model.load_state_dict({name: torch.tensor(np.ascontiguousarray(value)) for name, value in state.items()})
        torch.manual_seed(seed)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self._optim.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=self._optim.learning_rate, fused=True)

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        """Takes the faster way to read texts; the seconds of each over these chunks."""
        if self.model.embedding is None:
            return {}
        seconds = {}
        for way in ("packed", "padded"):
            self.model.packed = way == "packed"
            start = time.perf_counter()
            self.train(chunks)
            seconds[way] = time.perf_counter() - start
        self.model.packed = seconds["packed"] < seconds["padded"]
        return seconds

    def train(self, chunks: list[Chunk]) -> float:
        self.model.train()
        losses = [
            self._step(torch.as_tensor(rows), chunk.length)
            for chunk in chunks
            for rows in chunk.rows[chunk.mask.any(1)]
        ]
        return float(torch.stack(losses).mean())

    def _step(self, rows, length: int | None):
        data = self._arrays["train"]
        labels = data["labels"].index_select(0, rows.to(self._device))
        logits = self._forward("train", rows, length)
        if logits.shape[1] == 1:
            smooth = self._optim.label_smoothing
            targets = labels.to(logits.dtype) * (1 - smooth) + smooth / 2
            loss = functional.binary_cross_entropy_with_logits(logits[:, 0], targets)
        else:
            loss = functional.cross_entropy(logits, labels.long(), label_smoothing=self._optim.label_smoothing)
        self._optimizer.zero_grad()
        loss.backward()
        if self._optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._optim.clip_norm)
        self._optimizer.step()
        return loss.detach()

    def _forward(self, split: str, rows, length: int | None):
        data = self._arrays[split]
        inputs = data["inputs"].index_select(0, rows.to(self._device))
        if length is None:
            return self.model(inputs)
        # Rows that only fill up a batch of validation may be longer than the others.
        return self.model(inputs[:, :length], data["lengths"].index_select(0, rows).clamp(max=length))

    def logits(self, split: str, chunk: Chunk) -> np.ndarray:
        self.model.eval()
        with torch.no_grad():
            batches = [self._forward(split, torch.as_tensor(rows), chunk.length) for rows in chunk.rows]
        return torch.cat(batches).cpu().numpy()

    def accuracy(self) -> float:
        plan = enumerate(self._course.validation_plan())
        return self._course.accuracy_of({number: self.logits("validation", chunk) for number, chunk in plan})

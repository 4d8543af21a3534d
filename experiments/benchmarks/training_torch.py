"""The training benchmark's PyTorch: its own layers (oneDNN or cuDNN) and the ordinary training loop."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmarks.training_course import Course, seconds_of
from rnnjax.data.plan import Chunk

torch: Any = importlib.import_module("torch")  # of the extra bench; without it, only this peer fails
functional: Any = torch.nn.functional

Batch = dict[str, Any]
"""Tensors of a split at some rows, padded to the length of their chunk; ``lengths`` are wide, and on the host."""


class TorchModel(torch.nn.Module):
    """A part's model in PyTorch: ``forward(batch)`` makes the outputs.

    Attributes:
      ways: names of the several ways in which it can compute the same.
      way: the one that it takes.
      carry: what goes on from batch to batch, without its gradient; None at a beginning.
    """

    ways: tuple[str, ...] = ()
    way: str = ""
    carry: Any = None

    def loss(self, outputs: Any, batch: Batch) -> Any:
        """The loss of a batch's outputs."""
        raise NotImplementedError

    def state(self, params: Any) -> dict[str, np.ndarray]:
        """The parameters that rnnjax's model has, by the names of this one's."""
        raise NotImplementedError


class ClassesModel(TorchModel):
    """That of classes; a single logit means class 1 of two."""

    def __init__(self, course: Course):
        super().__init__()
        self._smoothing = course.part.experiment.optim.label_smoothing

    def loss(self, outputs: Any, batch: Batch) -> Any:
        """Cross-entropy of logits ``[B, C]``."""
        labels = batch["labels"]
        if outputs.shape[1] > 1:
            return functional.cross_entropy(outputs, labels.long(), label_smoothing=self._smoothing)
        targets = labels.to(outputs.dtype) * (1 - self._smoothing) + self._smoothing / 2
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)


class TokensModel(TorchModel):
    """That of tokens: targets below 0 do not count."""

    def loss(self, outputs: Any, batch: Batch) -> Any:
        """Cross-entropy of logits ``[B, T, V]``."""
        return functional.cross_entropy(outputs.flatten(0, 1), batch["targets"].flatten().long(), ignore_index=-1)


class TorchPeer:
    """Trains on all threads of the CPU, or on one accelerator if PyTorch sees it."""

    def __init__(self, course: Course):
        self._course, self._optim = course, course.part.experiment.optim
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._arrays = {}
        for split in ("train", "validation"):
            tensors = {name: torch.tensor(array) for name, array in course.arrays(split).items()}
            # Lengths stay on the host and are wide: so packing wants them.
            self._arrays[split] = {n: t.long() if n == "lengths" else t.to(self._device) for n, t in tensors.items()}
        self.model: Any = course.model_of("torch").to(self._device)
        self.reset(0)

    def reset(self, seed: int) -> None:
        state = self.model.state(self._course.parameters(seed))
        self.model.load_state_dict({name: torch.tensor(np.ascontiguousarray(value)) for name, value in state.items()})
        torch.manual_seed(seed)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self._optim.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=self._optim.learning_rate, fused=True)
        self.begin()

    def begin(self) -> None:
        self.model.carry = None

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        """Takes the fastest of the model's ways; the seconds of each over these chunks."""

        def train(way: str) -> None:
            self.model.way = way
            self.train(chunks)

        seconds = seconds_of(self.model.ways, train)
        if seconds:
            self.model.way = min(seconds, key=seconds.__getitem__)
        return seconds

    def train(self, chunks: list[Chunk]) -> float:
        self.model.train()
        losses = [
            self._step(torch.as_tensor(rows), chunk.length)
            for chunk in chunks
            for rows in chunk.rows[chunk.mask.any(1)]
        ]
        return float(torch.stack(losses).mean())

    def _step(self, rows, length: Any):
        batch = self.batch("train", rows, length)
        loss = self.model.loss(self.model(batch), batch)
        self._optimizer.zero_grad()
        loss.backward()
        if self._optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._optim.clip_norm)
        self._optimizer.step()
        return loss.detach()

    def batch(self, split: str, rows, length: Any) -> Batch:
        """What the model reads, of a split at some rows."""
        widths, at = self._course.widths(length), rows.to(self._device)
        batch = {}
        for name, tensor in self._arrays[split].items():
            if name == "lengths":
                # Rows that only fill up a batch of validation may be longer than the others.
                batch[name] = tensor.index_select(0, rows).clamp(max=widths["inputs"])
            else:
                taken = tensor.index_select(0, at)
                batch[name] = taken[:, : widths[name]] if name in widths else taken
        return batch

    def outputs(self, split: str, chunks: list[Chunk]) -> Iterator[np.ndarray]:
        kept, self.model.carry = self.model.carry, None
        self.model.eval()
        try:
            for chunk in chunks:
                with torch.no_grad():
                    made = [self.model(self.batch(split, torch.as_tensor(rows), chunk.length)) for rows in chunk.rows]
                yield torch.cat(made).cpu().numpy()
        finally:
            self.model.carry = kept

    def quality(self) -> float:
        return self._course.quality_of(self.outputs("validation", self._course.validation_plan()))

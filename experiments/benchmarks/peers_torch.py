"""The peer PyTorch: ``nn.LSTM`` and ``nn.GRU`` (oneDNN or cuDNN), packed when masked, on all threads or a GPU."""

import importlib
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.task import CLASSES, LEARNING_RATE, Task
from rnnjax.layers.convert import to_torch

torch: Any = importlib.import_module("torch")


class Classifier(torch.nn.Module):
    """A recurrent layer, its last real output, and a dense head."""

    def __init__(self, task: Task, packed: bool):
        super().__init__()
        self.packed = packed
        layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[task.cell]
        self.layer = layer(task.shape.D, task.shape.H, batch_first=True, bidirectional=task.directions == 2)
        self.head = torch.nn.Linear(task.shape.H * task.directions, CLASSES)
        state = {f"layer.{name}": array for name, array in to_torch(task.weights["recurrent"], task.cell).items()}
        state |= {"head.weight": task.weights["kernel"].T, "head.bias": task.weights["bias"]}
        self.load_state_dict({name: torch.tensor(np.ascontiguousarray(array)) for name, array in state.items()})

    def forward(self, inputs, lengths=None):
        """``[B, T, D]`` and lengths ``[B]``, on the host if they are packed, to logits ``[B, 10]``."""
        if lengths is not None and not self.packed:
            outputs, _ = self.layer(inputs)
            return self.head(outputs[torch.arange(len(lengths), device=lengths.device), lengths - 1])
        if lengths is not None:
            pack = torch.nn.utils.rnn.pack_padded_sequence
            inputs = pack(inputs, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.layer(inputs)
        hidden = last[0] if isinstance(last, tuple) else last  # [directions, B, H], each at its own last real step
        return self.head(hidden.transpose(0, 1).flatten(1))


def device() -> Any:
    """The GPU when JAX runs on one too, else the CPU."""
    return torch.device("cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu")


def set_precision(precision: str) -> None:
    """PyTorch's precision of float32 products on a GPU; ``default`` leaves it: float32, but TF32 in cuDNN's layers."""
    if precision != "default":
        levels = {"highest": "highest", "tensorfloat32": "high", "bfloat16": "medium"}
        torch.set_float32_matmul_precision(levels[precision])
        torch.backends.cudnn.allow_tf32 = precision != "highest"  # recurrent layers do not heed the line above


def make_call(task: Task, packed: bool = True) -> Callable[[], Any]:
    """One call of the task: the loss (train) or the logits, computed.

    Args:
      task: what to compute.
      packed: pack rows of different lengths; else the padding is computed too, which one direction allows.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    where, dtype = device(), getattr(torch, task.dtype)
    if where.type == "cuda":
        set_precision(task.precision)
    model = Classifier(task, packed).to(where, dtype)
    inputs, labels = torch.tensor(task.inputs).to(where, dtype), torch.tensor(task.labels).long().to(where)
    lengths = None if task.lengths is None else torch.tensor(task.lengths).long().to("cpu" if packed else where)

    def settle() -> None:
        if where.type == "cuda":
            torch.cuda.synchronize()

    def forward() -> Any:
        with torch.inference_mode():
            logits = model(inputs, lengths).float()
        settle()
        return logits

    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)

    def train() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(inputs, lengths).float(), labels)
        loss.backward()
        optimizer.step()
        settle()
        return loss.detach()

    return train if task.mode == "train" else forward

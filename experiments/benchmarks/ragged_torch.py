"""The peer PyTorch of the part ``ragged``: its layer over packed sequences, or over padded ones and their padding."""

import os
from typing import Any

import numpy as np

from experiments.benchmarks import peers_torch
from experiments.benchmarks.ragged_task import Gradient, Peer, Ragged
from rnnjax.layers.convert import from_torch

torch = peers_torch.torch
_NO_LABEL = -100
_KERNELS = {"Mkldnn": "oneDNN", "Cudnn": "cuDNN"}
"""Implementations of the layer by what the names of their nodes in PyTorch's graph begin with; else it is ATen's."""


def make(task: Ragged, packed: bool) -> Peer:
    """PyTorch on all threads or a GPU.

    Args:
      task: what to compute.
      packed: by ``pack_padded_sequence``, which is timed with it; else over all padded steps, where the loss leaves
        out the padding.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    where = peers_torch.device()
    if where.type == "cuda":
        peers_torch.set_precision(task.layer.precision)
    model = peers_torch.Classifier(task.layer, packed).to(where)
    labels = task.labels if packed else np.where(task.real, task.labels, _NO_LABEL)
    inputs, targets = torch.tensor(task.inputs).to(where), torch.tensor(labels).long().to(where)
    lengths = torch.tensor(task.lengths).long()  # packing wants them on the host

    def summed() -> Any:
        outputs, wanted = inputs, targets
        if packed:
            pack = torch.nn.utils.rnn.pack_padded_sequence
            outputs, wanted = (
                pack(part, lengths, batch_first=True, enforce_sorted=False) for part in (inputs, targets)
            )
        outputs, _ = model.layer(outputs)
        scores, wanted = (outputs.data, wanted.data) if packed else (outputs.flatten(0, 1), wanted.flatten())
        return torch.nn.functional.cross_entropy(model.head(scores), wanted, ignore_index=_NO_LABEL, reduction="sum")

    seen: list[str] = []

    def call() -> Any:
        model.zero_grad(set_to_none=True)
        loss = summed() / task.steps
        if not seen:
            seen.append(_seen(loss))
        loss.backward()
        if where.type == "cuda":
            torch.cuda.synchronize()
        return loss.detach()

    computed = task.steps if packed else task.real.size
    return Peer(call, computed, lambda: seen[0], lambda: _gradient(model, task))


def _seen(loss: Any) -> str:
    """By which implementation the layer ran, from the names of the nodes of the loss's graph."""
    names, waiting = set(), [loss.grad_fn]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        names.add(node.name())
        following = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= following
        waiting += following
    found = (kernel for start, kernel in _KERNELS.items() if any(name.startswith(start) for name in names))
    return next(found, "ATen")


def _gradient(model: Any, task: Ragged) -> Gradient:
    """The gradient by our names; both of PyTorch's biases have that of the one that we have."""
    state = {name: part.grad.cpu().numpy().copy() for name, part in model.layer.named_parameters()}
    kept = 2 * task.shape.H if task.cell == "gru" else None  # the GRU's of the candidate is a parameter of ours too
    state["bias_hh_l0"][:kept] = 0
    cell = from_torch(state, task.cell)["layers_0"]["cell"]
    head = model.head
    return cell | {"head kernel": head.weight.grad.cpu().numpy().T, "head bias": head.bias.grad.cpu().numpy()}

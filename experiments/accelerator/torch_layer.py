"""PyTorch's layer as a peer: loss and gradient, by cuDNN on a GPU."""

import os
from collections.abc import Callable
from typing import Any

import jax

from experiments.benchmarks import peers_torch
from experiments.benchmarks.task import Task
from rnnjax.errors import UsageError

torch = peers_torch.torch


def make_call(task: Task) -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
    """One call, which blocks until the gradient is there and returns the loss; and the gradients of the kernels.

    Raises:
      UsageError: where JAX runs on an accelerator and this PyTorch does not.
    """
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    where, dtype = peers_torch.device(), getattr(torch, task.dtype)
    if where.type == "cpu" and jax.default_backend() != "cpu":
        raise UsageError(f"PyTorch {torch.__version__} has no device here")
    if where.type == "cuda":
        _usual_precision()
        peers_torch.set_precision(task.precision)
    model = peers_torch.Classifier(task, packed=True).to(where, dtype)
    inputs, labels = torch.tensor(task.inputs).to(where, dtype), torch.tensor(task.labels).long().to(where)

    def call() -> Any:
        model.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(inputs).float(), labels)
        loss.backward()
        if where.type == "cuda":
            torch.cuda.synchronize()
        return loss.detach()

    def kernels() -> list[Any]:
        gradients = (model.layer.weight_ih_l0.grad, model.layer.weight_hh_l0.grad)
        return [gradient.float().cpu().numpy() for gradient in gradients]

    return call, kernels


def _usual_precision() -> None:
    """What PyTorch begins with, which another task may have changed."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True

"""PyTorch's side of the part ``step``: chains of products, and cells one step at a time."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks import record
from experiments.benchmarks.step_products import GATES, SIGNS, Problem
from rnnjax.layers.convert import cell_to_torch

torch: Any = importlib.import_module("torch")


def start() -> None:
    """All threads that the process may use, as in the part ``layers``."""
    torch.set_num_threads(record.cores())


def products(given: Problem, direction: str, count: int) -> Callable[[], Any]:
    """A call that computes the state after ``count`` products into memory that is kept from call to call."""
    start()
    first, weights = map(torch.tensor, given)
    state, wide = torch.empty_like(first), first.new_empty(len(first), GATES * first.shape[1])
    parts = wide.view(len(first), GATES, -1)
    factors = torch.tensor(SIGNS)[:, None]

    def forward() -> None:
        torch.mm(state, weights, out=wide)
        torch.sum(parts, 1, out=state)

    def backward() -> None:
        torch.mul(state[:, None], factors, out=parts)
        torch.mm(wide, weights, out=state)

    one = forward if direction == "forward" else backward

    def call() -> Any:
        with torch.no_grad():
            state.copy_(first)
            for _ in range(count):
                one()
        return state

    return call


def cell(name: str, params: Any, inputs: np.ndarray) -> tuple[Callable[..., Any], Any, list[Any]]:
    """``step(carry, x) -> (carry, output)``, the first carry, and the inputs [steps, 1, D] as tensors."""
    start()
    kind = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[name]
    module = kind(inputs.shape[-1], params["cell"]["recurrent_kernel"].shape[0])
    arrays = cell_to_torch(params, name)
    module.load_state_dict({key: torch.tensor(np.ascontiguousarray(array)) for key, array in arrays.items()})
    zeros = torch.zeros(1, module.hidden_size)

    def lstm(carry: Any, x: Any) -> Any:
        carry = module(x, carry)
        return carry, carry[0]

    def gru(carry: Any, x: Any) -> Any:
        carry = module(x, carry)
        return carry, carry

    first = (zeros, zeros) if name == "lstm" else zeros
    return (lstm if name == "lstm" else gru), first, [torch.tensor(x) for x in inputs]


def without_gradient(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call under ``torch.inference_mode``."""

    def inside() -> Any:
        with torch.inference_mode():
            return call()

    return inside


def generation(name: str, params: Any, first: np.ndarray, steps: int) -> Callable[[], Any]:
    """A call that feeds each output back as the next input and returns all of them, [steps, 1, H]."""
    step, carry, (x,) = cell(name, params, first[None])

    def call() -> Any:
        state, output, outputs = carry, x, []
        for _ in range(steps):
            state, output = step(state, output)
            outputs.append(output)
        return torch.stack(outputs)

    return without_gradient(call)

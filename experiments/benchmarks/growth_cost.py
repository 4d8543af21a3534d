"""The cost of a training step of stacked LSTM layers, one size varied at a time around a base."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from rnnjax.ahead.operations import operations
from rnnjax.errors import UsageError
from rnnjax.layers.cells import LSTMCell
from rnnjax.layers.implementations import reporting
from rnnjax.layers.recurrence import RNN


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Batch B, steps T, input features D, hidden features H, and how many layers lie on one another."""

    B: int
    T: int
    D: int
    H: int
    layers: int = 1

    @staticmethod
    def parse(text: str) -> "Sizes":
        """Sizes from ``"B,T,D,H,layers"``.

        Raises:
          UsageError: if these are not five positive integers.
        """
        try:
            B, T, D, H, layers = (int(part) for part in text.split(","))
        except ValueError:
            raise UsageError(f"--base is B,T,D,H,layers, five integers such as 32,64,64,128,1; got {text!r}") from None
        if min(B, T, D, H, layers) < 1:
            raise UsageError(f"the numbers of --base are positive, got {text!r}")
        return Sizes(B, T, D, H, layers)


BASE = "32,64,64,128,1"
QUICK_BASE = "2,4,3,4,1"
FACTORS = {
    "T": (0.25, 0.5, 1, 2, 4),
    "B": (0.25, 0.5, 1, 2, 4),
    "H": (0.25, 0.5, 1, 2, 4),
    "D": (0.25, 1, 4, 16),
    "layers": (1, 2, 3, 4),
}
"""What a size of the base is multiplied with."""
QUICK_FACTORS = dict.fromkeys(FACTORS, (1, 2, 4))


def sweeps(base: Sizes, factors: Mapping[str, Sequence[float]]) -> dict[str, list[Sizes]]:
    """The sizes of every sweep by the name of what is varied; the base is in all of them."""
    found = {}
    for name, by in factors.items():
        values = dict.fromkeys(max(1, round(getattr(base, name) * factor)) for factor in by)
        found[name] = [dataclasses.replace(base, **{name: value}) for value in values]
    return found


def among(rows: Iterable[dict[str, Any]], wanted: Sequence[Sizes]) -> list[dict[str, Any]]:
    """The rows of these sizes."""
    keys = [dataclasses.asdict(sizes) for sizes in wanted]
    return [row for row in rows if row["sizes"] in keys]


class _Stack(nn.Module):
    """LSTM layers on one another."""

    sizes: Sizes

    @nn.compact
    def __call__(self, inputs):
        for _ in range(self.sizes.layers):
            inputs = RNN(LSTMCell(self.sizes.H))(inputs)[1]
        return inputs


def step_of(sizes: Sizes) -> tuple[Callable[..., Any], Callable[[], Any], Any]:
    """``step(params, inputs) -> (loss, gradient)``, what makes the parameters, and the shapes of both arguments."""
    model = _Stack(sizes)

    def loss(params: Any, inputs: jax.Array) -> jax.Array:
        outputs: Any = model.apply({"params": params}, inputs)
        return jnp.square(outputs).mean()

    def params() -> Any:
        return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1, sizes.D)))["params"]

    given = jax.eval_shape(params), jax.ShapeDtypeStruct((sizes.B, sizes.T, sizes.D), jnp.float32)
    return jax.value_and_grad(loss), params, given


def counted(sizes: Sizes) -> int:
    """Floating-point operations of the products of a step, as :mod:`rnnjax.ahead.operations` counts them."""
    step, _, given = step_of(sizes)
    return operations(step, *given, platform=jax.default_backend()).total


def entry(sizes: Sizes) -> harness.Entry:
    """One step to be timed. It is compiled as it is built."""
    row: dict[str, Any] = {"sizes": dataclasses.asdict(sizes), "operations": counted(sizes), "ran": None}

    def build() -> Callable[[], Any]:
        step, params, given = step_of(sizes)
        with reporting() as ran:
            lowered = jax.jit(step).lower(*given)
        row["ran"] = ", ".join(sorted(set(ran.values())))
        compiled = lowered.compile()
        shape = sizes.B, sizes.T, sizes.D
        arguments = params(), jnp.array(np.random.default_rng(0).standard_normal(shape, np.float32))
        return lambda: jax.block_until_ready(compiled(*arguments))[0]

    return harness.Entry(row, build)

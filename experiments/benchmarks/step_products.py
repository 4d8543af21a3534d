"""The matrix products of a recurrent step alone, one after another in one compiled loop, beside PyTorch's.

XLA has two ways to multiply on a CPU, of which it takes one unless it is told: both are timed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.task import Shape

GATES = 4
SIGNS = (1.0, -1.0, 0.5, -2.0)
"""What the [B, H] of a backward product is multiplied by to make the four parts of the next one's [B, 4H]."""
DIRECTIONS = ("forward", "backward")
EIGEN = "xla, Eigen"
PEERS = ("xla", EIGEN, "torch")
OPTIONS = {EIGEN: {"xla_cpu_experimental_ynn_fusion_type": ""}}
"""With what XLA compiles a peer: it multiplies by YNNPACK, or by Eigen where it has no fusions for that."""
FARTHEST = 1e-3
"""How far two results may be apart, as a share of the largest value: float32 after hundreds of products."""
ORDINARY = (0.1, 10.0)
"""Between what the root mean square of a result has to lie; it is 1 at first, and the products leave it."""


class Problem(NamedTuple):
    """What is multiplied: ``state`` [B, H] and ``weights`` [H, 4H] forward, [4H, H] backward.

    Forward, the four quarters of the product's columns are added, and that is the next state. Backward, the state times
    each of ``SIGNS`` is what is multiplied. In both, the state is multiplied by an orthogonal matrix in all: its values
    neither grow nor vanish however many products there are.
    """

    state: np.ndarray
    weights: np.ndarray


def problem(B: int, H: int, direction: str) -> Problem:
    random = np.random.default_rng(0)
    orthogonal = np.linalg.qr(random.standard_normal((H, H)))[0]
    parts = [random.standard_normal((H, H)) * H**-0.5 for _ in range(GATES - 1)]
    factors = SIGNS if direction == "backward" else (1.0,) * GATES
    rest = orthogonal - sum(factor * part for factor, part in zip(factors[1:], parts, strict=True))
    weights = np.concatenate([rest / factors[0], *parts], axis=0 if direction == "backward" else 1)
    return Problem(random.standard_normal((B, H)).astype(np.float32), weights.astype(np.float32))


def chain(direction: str, products: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The state after so many products: ``run(state, weights)``."""

    def forward(state: jax.Array, weights: jax.Array) -> jax.Array:
        first, *others = jnp.split(state @ weights, GATES, axis=1)
        return sum(others, first)

    def backward(state: jax.Array, weights: jax.Array) -> jax.Array:
        return jnp.concatenate([factor * state for factor in SIGNS], axis=1) @ weights

    one = forward if direction == "forward" else backward

    def run(state: jax.Array, weights: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda state, _: (one(state, weights), None), state, None, length=products)[0]

    return run


def entries(shape: Shape, products: int) -> list[harness.Entry]:
    """Both peers and directions at a layer's shape; a result that is not the first one's is not timed."""
    return [entry for direction in DIRECTIONS for entry in _entries(shape, direction, products)]


def _entries(shape: Shape, direction: str, products: int) -> list[harness.Entry]:
    answers: list[np.ndarray] = []

    def entry(peer: str) -> harness.Entry:
        row: dict[str, Any] = {"shape": [shape.B, shape.T, shape.D, shape.H], "direction": direction, "peer": peer}
        row |= {"products": products, "apart": None}

        def build() -> Callable[[], Any]:
            call = _call(peer, problem(shape.B, shape.H, direction), direction, products)
            answer = np.array(call())
            row["apart"] = agreeing(answer, answers, FARTHEST)
            size = float(np.sqrt(np.square(answer).mean()))
            if not ORDINARY[0] < size < ORDINARY[1]:
                raise ValueError(f"its values have grown or vanished: their root mean square is {size:.1e}")
            return call

        return harness.Entry(row, build)

    return [entry(peer) for peer in PEERS]


def _call(peer: str, given: Problem, direction: str, products: int) -> Callable[[], Any]:
    if peer == "torch":
        from experiments.benchmarks import step_torch

        return step_torch.products(given, direction, products)
    state, weights = map(jnp.array, given)
    run = jax.jit(chain(direction, products), compiler_options=OPTIONS.get(peer))
    return lambda: run(state, weights).block_until_ready()


def agreeing(answer: np.ndarray, answers: list[np.ndarray], farthest: float) -> float:
    """How far an answer is from the first of ``answers``, to which it is added: a share of that one's largest value.

    Raises:
      ValueError: if that is more than ``farthest``, or anything is not finite.
    """
    answers.append(answer)
    apart = float(np.abs(answer - answers[0]).max() / np.abs(answers[0]).max())
    if not apart <= farthest:  # a NaN is too far
        raise ValueError(f"it computes something else than the first: {apart:.1e} apart")
    return apart

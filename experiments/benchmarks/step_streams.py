"""Batches of one sequence: a step at a time, and outputs fed back in one compiled program, beside other libraries."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.step_products import agreeing
from experiments.benchmarks.step_threads import CELLS
from experiments.benchmarks.task import Shape, Task
from rnnjax.layers.recurrence import RNN

STEPS = 64
"""Steps of a timed call, of a stream and of a generation alike."""
OURS, KEPT = "rnnjax", "rnnjax, carry kept"
"""A step that gives the memory of its carry to the next one's (``donate_argnums``), and one that does not."""
STREAMERS, GENERATORS = (OURS, KEPT, "torch", "keras"), (OURS, "torch")
FARTHEST = 1e-4
"""How far the outputs of all steps may be apart, as a share of the largest."""
ONE_CALL = 'xla_cpu_small_call="true"'
"""Stands in a program's text where XLA computes a small loop whole, without its runtime between operations."""

Step = Callable[[Any, Any], tuple[Any, Any]]


def params(cell: str, H: int) -> Any:
    """The same weights for all: ``{"cell": ...}``."""
    return Task(cell, "plain", "forward", Shape(1, STEPS, H, H)).weights["recurrent"]


def inputs(H: int, steps: int = STEPS) -> np.ndarray:
    """Standard normal, ``[steps, 1, H]`` float32."""
    return np.random.default_rng(0).standard_normal((steps, 1, H), np.float32)


def entries(cell: str, H: int) -> list[harness.Entry]:
    """A stream and a generation by each peer; what answers otherwise than the first one is not timed."""
    streams: list[np.ndarray] = []
    generations: list[np.ndarray] = []
    return [
        *(_entry("stream", cell, H, peer, streams) for peer in STREAMERS),
        *(generation(cell, H, peer, generations) for peer in GENERATORS),
    ]


def generation(cell: str, H: int, peer: str, answers: list[np.ndarray]) -> harness.Entry:
    """Each output is the next step's input; its first input is that of a stream."""
    return _entry("generation", cell, H, peer, answers)


def _entry(what: str, cell: str, H: int, peer: str, answers: list[np.ndarray]) -> harness.Entry:
    row: dict[str, Any] = {"what": what, "cell": cell, "features": H, "peer": peer, "steps": STEPS}
    row |= {"apart": None, "one_call": None}

    def build() -> Callable[[], Any]:
        if what == "stream":
            outputs = _stream(cell, H, peer)
            row["apart"] = agreeing(np.stack([np.asarray(output) for output in outputs()]), answers, FARTHEST)
            return lambda: outputs()[-1]
        call, row["one_call"] = _generation(cell, H, peer)
        row["apart"] = agreeing(np.asarray(call()), answers, FARTHEST)
        return call

    return harness.Entry(row, build)


def _stream(cell: str, H: int, peer: str) -> Callable[[], list[Any]]:
    """A call of as many steps as there are inputs, from the carry of the call before; each waits for its output."""
    if peer == "torch":
        from experiments.benchmarks import step_torch

        return step_torch.without_gradient(streaming(*step_torch.cell(cell, params(cell, H), inputs(H))))
    step, carry = _keras(cell, H) if peer == "keras" else _ours(cell, H, donate=peer == OURS)
    return streaming(step, carry, [jnp.array(x) for x in inputs(H)], jax.block_until_ready)


def streaming(
    step: Step, carry: Any, given: Sequence[Any], wait: Callable[[Any], Any] = lambda output: output
) -> Callable[[], list[Any]]:
    """The call: all outputs of one pass over ``given``."""
    state = [carry]

    def call() -> list[Any]:
        outputs = []
        for x in given:
            state[0], output = step(state[0], x)
            outputs.append(wait(output))
        return outputs

    return call


def _ours(cell: str, H: int, donate: bool) -> tuple[Step, Any]:
    layer = RNN(CELLS[cell](H))
    variables = {"params": jax.tree.map(jnp.array, params(cell, H))}

    def step(variables: Any, carry: Any, x: jax.Array) -> Any:
        return layer.apply(variables, carry, x, method="step")

    # Parts of a carry that are one array cannot be donated twice.
    carry = jax.tree.map(lambda part: jnp.array(part, copy=True), layer.initialize_carry(None, (1, H)))
    return functools.partial(jax.jit(step, donate_argnums=(1,) if donate else ()), variables), carry


def _keras(cell: str, H: int) -> tuple[Step, Any]:
    """The layer over one step with ``initial_state``, its ``stateless_call`` jitted as Keras' guide for JAX does."""
    from experiments.benchmarks.peers_keras import keras
    from rnnjax.layers.convert import to_keras

    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    layer = kind(H, return_state=True)
    layer.build((1, 1, H))
    layer.set_weights(to_keras(params(cell, H), cell))
    variables = [variable.value for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]

    def step(variables: Any, others: Any, carry: Any, x: jax.Array) -> Any:
        (output, *carry), _ = layer.stateless_call(variables, others, x[:, None], initial_state=list(carry))
        return carry, output

    carry = [jnp.zeros((1, H)) for _ in range(2 if cell == "lstm" else 1)]
    return functools.partial(jax.jit(step), variables, others), carry


def _generation(cell: str, H: int, peer: str) -> tuple[Callable[[], Any], bool | None]:
    """The call, and whether XLA computes its loop whole."""
    first = inputs(H, 1)[0]
    if peer == "torch":
        from experiments.benchmarks import step_torch

        return step_torch.generation(cell, params(cell, H), first, STEPS), None
    layer = RNN(CELLS[cell](H))
    variables = {"params": jax.tree.map(jnp.array, params(cell, H))}

    def run(variables: Any, x: jax.Array) -> jax.Array:
        def step(state: Any, _: None) -> Any:
            carry, output = layer.apply(variables, *state, method="step")
            return (carry, output), output

        return jax.lax.scan(step, (layer.initialize_carry(None, (1, H)), x), None, length=STEPS)[1]

    given = variables, jnp.array(first)
    compiled = jax.jit(run).lower(*given).compile()
    return lambda: compiled(*given).block_until_ready(), ONE_CALL in (compiled.as_text() or "")

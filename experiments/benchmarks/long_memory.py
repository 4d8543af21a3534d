"""Layers over many steps as compiled programs, and the memory of a training step in a process of its own."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks import memory_limit, peers_jax, record
from experiments.benchmarks.harness import first_line, why_failed
from experiments.benchmarks.task import CLASSES, Shape
from rnnjax.layers.cells import LRUCell, LSTMCell, MinGRUCell
from rnnjax.layers.implementations import reporting
from rnnjax.layers.recurrence import RNN
from rnnjax.training.memory import peak_memory

CELLS = {"lru": LRUCell, "min_gru": MinGRUCell, "lstm": LSTMCell}
SQRT, FLAX = "rnnjax sqrt", "flax"
"""``remat="sqrt"``; and ``flax.linen.RNN`` over ``LSTMCell``, without remat."""
TRAINED = [(cell, peer, reads) for reads in ("carry", "outputs") for cell, peer in (("lstm", SQRT), ("lru", SQRT))]
TRAINED.insert(1, ("lstm", FLAX, "carry"))
"""Whose training step is measured, and what its head reads: the last carry, or the outputs at all steps, the last one
of which it takes."""
GOAL = 2.0
"""GiB in which such a step is to be."""


class Compiled(NamedTuple):
    """A compiled function.

    Attributes:
      step: it.
      params: makes the parameters.
      ran: the implementation that the layer reported; None of another library.
      temporaries: bytes beside arguments and results.
      needed: bytes with these.
    """

    step: Callable[..., Any]
    params: Callable[[], Any]
    ran: str | None
    temporaries: int
    needed: int


def inputs(shape: Shape) -> np.ndarray:
    """Standard normal, ``[B, T, D]`` float32."""
    return np.random.default_rng(0).standard_normal((shape.B, shape.T, shape.D), np.float32)


def compiled_layer(cell: str, shape: Shape, implementation: str) -> Compiled:
    """The mean square of a layer's outputs, and its gradient by the parameters: ``step(params, inputs)``."""
    layer = RNN(CELLS[cell](shape.H), implementation=implementation)

    def loss(params: Any, inputs: jax.Array) -> jax.Array:
        outputs: Any = layer.apply({"params": params}, inputs)[1]
        return jnp.square(outputs).mean()

    def params() -> Any:
        return jax.jit(layer.init)(jax.random.key(0), jnp.zeros((1, 1, shape.D)))["params"]

    given = jax.eval_shape(params), jax.ShapeDtypeStruct((shape.B, shape.T, shape.D), jnp.float32)
    return _compiled(jax.jit(jax.value_and_grad(loss)), given, params)


class _Classifier(nn.Module):
    """A dense head on what it reads of a layer."""

    layer: nn.Module
    reads: str

    @nn.compact
    def __call__(self, inputs):
        carry, outputs = self.layer(inputs)
        last = outputs[:, -1] if self.reads == "outputs" else carry[1] if isinstance(carry, tuple) else carry
        parts = [last.real, last.imag] if jnp.iscomplexobj(last) else [last]
        return nn.Dense(CLASSES)(jnp.concatenate(parts, -1))


def compiled_training(cell: str, peer: str, reads: str, shape: Shape) -> Compiled:
    """A step of Adam on a dense head of ten classes: ``step(params, moments, inputs, labels)``."""
    layer = nn.RNN(nn.LSTMCell(shape.H), return_carry=True) if peer == FLAX else RNN(CELLS[cell](shape.H), remat="sqrt")
    model = _Classifier(layer, reads)

    def loss(params: Any, inputs: jax.Array, labels: jax.Array) -> jax.Array:
        logits: Any = model.apply({"params": params}, inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    optimizer, step = peers_jax.make_step(loss)

    def state() -> Any:
        made = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 2, shape.D)))["params"]
        return made, optimizer.init(made)

    batch = jax.ShapeDtypeStruct((shape.B, shape.T, shape.D), jnp.float32), jax.ShapeDtypeStruct((shape.B,), jnp.int32)
    return _compiled(jax.jit(step, donate_argnums=(0, 1)), (*jax.eval_shape(state), *batch), state)


def _compiled(step: Any, given: Sequence[Any], params: Callable[[], Any]) -> Compiled:
    with reporting() as ran:
        lowered = step.lower(*given)
    made = lowered.compile()
    analysis = made.memory_analysis()
    held = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    temporaries = analysis.temp_size_in_bytes
    return Compiled(made, params, next(iter(ran.values()), None), temporaries, temporaries + held)


def measure(cell: str, peer: str, reads: str, shape: Shape, most: float) -> dict[str, Any]:
    """The row of a training step, done in this process if it fits: the most memory of the process is of it alone.

    What would need more than ``most`` GiB, as compiled, or more than most of what is free, is not run.
    """
    row = _row(cell, peer, reads, shape)
    try:
        made = compiled_training(cell, peer, reads, shape)
        row |= {"ran": made.ran, "temporaries": made.temporaries, "needed": made.needed}
        row |= {"before_mib": peak_memory(jax.local_devices())[0]}
        return row | _ran(made, shape, most)
    except Exception as error:  # a peer that fails is a result
        return row | {"error": f"failed: {first_line(error)}"}


def _row(cell: str, peer: str, reads: str, shape: Shape) -> dict[str, Any]:
    row: dict[str, Any] = {"cell": cell, "peer": peer, "reads": reads, "shape": list(dataclasses.astuple(shape))}
    return row | dict.fromkeys(("ran", "temporaries", "needed", "before_mib", "peak_mib", "of", "loss", "error"))


def _ran(made: Compiled, shape: Shape, most: float) -> dict[str, Any]:
    free = memory_limit.available()
    least = most if free is None else min(most, memory_limit.SHARE * free / 2**30)
    if made.needed > least * 2**30:
        return {"error": f"not run: as compiled it needs {made.needed / 2**30:.1f} GiB, more than {least:.1f}"}
    batch = jnp.array(inputs(shape)), jnp.arange(shape.B, dtype=jnp.int32) % CLASSES
    *_, loss = jax.block_until_ready(made.step(*made.params(), *batch))
    peak, of = peak_memory(jax.local_devices())
    return {"peak_mib": peak, "of": of, "loss": float(loss)}


def in_a_child(cell: str, peer: str, reads: str, shape: Shape, most: float) -> dict[str, Any]:
    """As :func:`measure`, in a process of its own; one that is killed is marked so."""
    asked = json.dumps([cell, peer, reads, list(dataclasses.astuple(shape)), most])
    done = subprocess.run([sys.executable, "-m", __name__, asked], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    return _row(cell, peer, reads, shape) | {"error": why_failed(done)}


def evaluate(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals of our training steps, with the most memory that their processes took."""
    goals = []
    for row in rows:
        if row["peer"] == SQRT:
            measured = None if row["peak_mib"] is None else row["peak_mib"] / 2**10
            what = f"{row['cell'].upper()} by its {row['reads']}, T = {row['shape'][1]}: GiB of a training step"
            reached = None if measured is None else measured <= GOAL
            goals.append({"what": what, "goal": GOAL, "measured": measured, "shapes": 1, "reached": reached})
    return goals


if __name__ == "__main__":
    record.start(1)
    asked = json.loads(sys.argv[1])
    print(json.dumps(measure(asked[0], asked[1], asked[2], Shape(*asked[3]), asked[4])))

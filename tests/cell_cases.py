"""The one list of cells that the tests run over. A new cell joins ``CELLS`` and inherits every test.

Each case holds the cell and one step of it in NumPy, written from the paper's equations: the
parameters ``p``, a carry and an input ``x [B, D]`` give the next carry and the output.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.layers.cells import (
    CoupledLSTMCell,
    GRUCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    RecurrentCell,
    ResetBeforeGRUCell,
    SimpleRNNCell,
    identity,
)
from rnnjax.layers.recurrence import RNN

BATCH, STEPS, INPUTS, FEATURES = 3, 6, 2, 4


@dataclass(frozen=True)
class CellCase:
    name: str
    cell: type[RecurrentCell]
    numpy_step: Callable[[dict[str, np.ndarray], Any, np.ndarray], tuple[Any, np.ndarray]]
    options: dict[str, Any] = field(default_factory=dict)
    float32_only: bool = False

    def make(self, **options) -> RecurrentCell:
        return self.cell(FEATURES, **self.options, **options)

    def rnn(self, **options) -> RNN:
        return RNN(self.make(), **options)

    def params(self, dtype: Any = np.float32) -> dict[str, Any]:
        """Parameters of ``rnn()`` with every entry drawn, so that zeros hide nothing."""
        shapes = jax.eval_shape(self.rnn().init, jax.random.key(0), jnp.zeros((1, 1, INPUTS)))
        random = np.random.default_rng(7)
        draw = lambda path, leaf: self._draw(random, path[-1].key, leaf.shape).astype(dtype)  # noqa: E731
        return jax.tree_util.tree_map_with_path(draw, shapes)

    def _draw(self, random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name in ("nu_log", "theta_log"):  # |lambda| between 0.6 and 0.96
            return random.uniform(-3, -0.7, size=shape)
        return random.normal(size=shape) * 0.6 + (name.endswith("scale") * 1.0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalized(x, epsilon=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)


def simple(p, h, x):
    h = np.tanh(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["bias"])
    return h, h


def simple_relu(p, h, x):
    h = np.maximum(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["bias"], 0)
    return h, h


def lstm(p, carry, x):
    c, h = carry
    i, f, g, o = np.split(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["bias"], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (c, h), h


def peephole_lstm(p, carry, x):
    c, h = carry
    i, f, g, o = np.split(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["bias"], 4, -1)
    p_i, p_f, p_o = np.split(p["peepholes"], 3)
    new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
    h = sigmoid(o + p_o * new) * np.tanh(new)
    return (new, h), h


def projected_lstm(p, carry, x):
    (c, h), _ = lstm(p, carry, x)
    h = h @ p["projection_kernel"]
    return (c, h), h


def coupled_lstm(p, carry, x):
    c, h = carry
    f, g, o = np.split(x @ p["input_kernel"] + h @ p["recurrent_kernel"] + p["bias"], 3, -1)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (c, h), h


def layer_norm_lstm(p, carry, x):
    c, h = carry
    sums = normalized(x @ p["input_kernel"]) * p["input_scale"] + p["bias"]
    sums = sums + normalized(h @ p["recurrent_kernel"]) * p["recurrent_scale"]
    i, f, g, o = np.split(sums, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(normalized(c) * p["cell_scale"] + p["cell_shift"])
    return (c, h), h


def gru(p, h, x):
    x_r, x_z, x_n = np.split(x @ p["input_kernel"] + p["bias"], 3, -1)
    h_r, h_z, h_n = np.split(h @ p["recurrent_kernel"], 3, -1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * (h_n + p["recurrent_bias"]))
    h = (1 - z) * n + z * h
    return h, h


def reset_before_gru(p, h, x):
    x_r, x_z, x_n = np.split(x @ p["input_kernel"] + p["bias"], 3, -1)
    u_r, u_z, u_n = np.split(p["recurrent_kernel"], 3, -1)
    r, z = sigmoid(x_r + h @ u_r), sigmoid(x_z + h @ u_z)
    n = np.tanh(x_n + (r * h) @ u_n)
    h = (1 - z) * n + z * h
    return h, h


def layer_norm_gru(p, h, x):
    w_rz, w_n = p["input_kernel"][:, : 2 * FEATURES], p["input_kernel"][:, 2 * FEATURES :]
    u_rz, u_n = p["recurrent_kernel"][:, : 2 * FEATURES], p["recurrent_kernel"][:, 2 * FEATURES :]
    scale_x, scale_h, bias = p["input_scale"], p["recurrent_scale"], p["bias"]
    gates = normalized(x @ w_rz) * scale_x[: 2 * FEATURES] + normalized(h @ u_rz) * scale_h[: 2 * FEATURES]
    r, z = np.split(sigmoid(gates + bias[: 2 * FEATURES]), 2, -1)
    candidate = normalized(h @ u_n) * scale_h[2 * FEATURES :] + p["recurrent_bias"]
    n = np.tanh(normalized(x @ w_n) * scale_x[2 * FEATURES :] + bias[2 * FEATURES :] + r * candidate)
    h = (1 - z) * n + z * h
    return h, h


def min_gru(p, h, x):
    z, n = np.split(x @ p["input_kernel"] + p["bias"], 2, -1)
    h = (1 - sigmoid(z)) * h + sigmoid(z) * n
    return h, h


def lru(p, state, x):
    states = len(p["nu_log"])
    decay = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    b = p["input_kernel"][:, :states] + 1j * p["input_kernel"][:, states:]
    c = p["output_kernel"][:states] + 1j * p["output_kernel"][states:]
    state = decay * state + np.exp(p["gamma_log"]) * (x @ b)
    return state, (state @ c).real + x @ p["skip_kernel"]


CELLS = [
    CellCase("simple", SimpleRNNCell, simple),
    CellCase("irnn", SimpleRNNCell, simple_relu, {"activation": nn.relu, "recurrent_init": identity}),
    CellCase("lstm", LSTMCell, lstm),
    CellCase("chrono-lstm", LSTMCell, lstm, {"chrono_steps": 20}),
    CellCase("peephole-lstm", PeepholeLSTMCell, peephole_lstm),
    CellCase("projected-lstm", ProjectedLSTMCell, projected_lstm, {"projection": 3}),
    CellCase("coupled-lstm", CoupledLSTMCell, coupled_lstm),
    CellCase("layer-norm-lstm", LayerNormLSTMCell, layer_norm_lstm),
    CellCase("gru", GRUCell, gru),
    CellCase("reset-before-gru", ResetBeforeGRUCell, reset_before_gru),
    CellCase("layer-norm-gru", LayerNormGRUCell, layer_norm_gru),
    CellCase("min-gru", MinGRUCell, min_gru),
    CellCase("lru", LRUCell, lru, {"states": 5}, float32_only=True),
]
PLAIN_RUN_FIRST = [
    case if case.name in ("lstm", "gru", "min-gru", "lru") else pytest.param(case, marks=pytest.mark.slow)
    for case in CELLS
]
"""The same list for tests that compile much: all but four cells wait for the run with slow tests."""
OTHERS_LONG = [
    case if case in CELLS else pytest.param(*case.values, marks=[pytest.mark.slow, pytest.mark.long])
    for case in PLAIN_RUN_FIRST
]
"""And for tests of what is one code around every cell: all but the four wait for .ci/all."""
LINEAR = [case for case in CELLS if case.name in ("min-gru", "lru")]


def name_of(case: CellCase) -> str:
    return case.name


def drawn_inputs(dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(BATCH, STEPS, INPUTS)).astype(dtype)


def drawn_carry(case: CellCase, dtype: Any = np.float32, seed: int = 1) -> Any:
    """A random carry ``[BATCH, ...]`` of the cell."""
    random = np.random.default_rng(seed)

    def draw(leaf):
        values = random.normal(size=leaf.shape) + (1j * random.normal(size=leaf.shape) if leaf.dtype.kind == "c" else 0)
        return values.astype(leaf.dtype if leaf.dtype.kind == "c" else dtype)

    return jax.tree.map(draw, case.make().initialize_carry(None, (BATCH, INPUTS)))


@functools.cache
def compiled(name: str, reverse: bool = False) -> Callable[..., tuple[Any, Any]]:
    """The cell's RNN, compiled once: ``(params, inputs, mask, resets, carry, reset_carry) -> (carry, outputs)``."""
    case = next(case for case in CELLS if case.name == name)

    def run(params, inputs, mask, resets, carry, reset_carry):
        layer, carries = case.rnn(reverse=reverse), {"initial_carry": carry, "reset_carry": reset_carry}
        return layer.apply(params, inputs, mask=mask, resets=resets, **carries)

    return jax.jit(run)


def run_case(case: CellCase, params, inputs, *, mask=None, resets=None, carry=None, reset_carry=None, reverse=False):
    """:func:`compiled` with what is left out made explicit, so that all calls share one program."""
    shape = inputs.shape[:-1]
    mask = np.ones(shape, bool) if mask is None else mask
    resets = np.zeros(shape, bool) if resets is None else resets
    zeros = jax.tree.map(np.zeros_like, drawn_carry(case))
    carries = [zeros if given is None else given for given in (carry, reset_carry)]
    return compiled(case.name, reverse)(params, inputs, mask, resets, *carries)


@functools.cache
def compiled_gradients(name: str, remat: int | None = None) -> Callable[..., tuple[Any, Any]]:
    """``(params, inputs, carry, mask, resets) -> (their gradients, (carry, outputs))`` of a smooth scalar."""
    case = next(case for case in CELLS if case.name == name)
    return jax.jit(gradients_of(case.rnn(remat=remat)))


def gradients_of(layer: RNN) -> Callable[..., tuple[Any, Any]]:
    def loss(params, inputs, carry, mask=None, resets=None):
        last, outputs = layer.apply(params, inputs, mask=mask, resets=resets, initial_carry=carry)
        scalar = jnp.sin(outputs).sum() + sum(jnp.sin(jnp.abs(leaf)).sum() for leaf in jax.tree.leaves(last))
        return scalar, (last, outputs)

    return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)


def numpy_loop(case: CellCase, params: Any, inputs: np.ndarray, carry: Any) -> tuple[Any, np.ndarray]:
    """The cell's NumPy step over all steps, in double precision."""
    wide = lambda a: np.asarray(a, np.complex128 if np.iscomplexobj(a) else np.float64)  # noqa: E731
    cell, carry = jax.tree.map(wide, params["params"]["cell"]), jax.tree.map(wide, carry)
    outputs = []
    for step in range(inputs.shape[1]):
        carry, output = case.numpy_step(cell, carry, wide(inputs[:, step]))
        outputs.append(output)
    return carry, np.stack(outputs, axis=1)


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    """``max|a - b| <= tolerance * max(1, max|b|)`` for every array of two trees."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert np.isfinite(b).all()
        error = np.abs(a - b).max(initial=0)
        assert error <= tolerance * max(1, np.abs(b).max(initial=0)), f"differs by {error:.3g}"

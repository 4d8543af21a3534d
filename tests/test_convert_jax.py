"""Weights of the other JAX libraries, ``flax.nnx`` and Equinox: outputs, carries, and exact both ways."""

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnjax.layers.convert import from_equinox, from_nnx, to_equinox, to_nnx
from rnnjax.layers.recurrence import RNN, Bidirectional
from tests.test_convert import drawn_params, same

INPUTS = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)
NNX = [
    ("rnn", nnx.SimpleCell, SimpleRNNCell(4)),
    ("lstm", nnx.LSTMCell, LSTMCell(4)),
    ("lstm", nnx.OptimizedLSTMCell, LSTMCell(4)),
    ("gru", nnx.GRUCell, GRUCell(4)),
]


def close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)


def drawn(layer):
    """Its parameters, drawn anew with no zeros, which it has now."""
    state = nnx.state(layer, nnx.Param)
    random = np.random.default_rng(1)
    new = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype("f4"), nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, new)
    nnx.update(layer, state)
    return new


@pytest.mark.parametrize(("kind", "theirs", "cell"), NNX, ids=lambda value: getattr(value, "__name__", None))
def test_layers_of_nnx_give_the_same_with_converted_weights(kind, theirs, cell):
    layer = nnx.RNN(theirs(3, 4, rngs=nnx.Rngs(0)), return_carry=True)
    state = drawn(layer)
    params = from_nnx(state, kind)
    same(params, from_nnx(state["cell"], kind))
    close(RNN(cell).apply({"params": params}, INPUTS), layer(INPUTS))
    same(to_nnx(params, kind, gates_apart=theirs is nnx.LSTMCell), state)

    def one():
        return nnx.RNN(theirs(3, 4, rngs=nnx.Rngs(0)))

    both = nnx.Bidirectional(one(), one())
    state = drawn(both)
    params = from_nnx(state, kind)
    ours = Bidirectional(RNN(cell), RNN(cell, reverse=True))
    close(ours.apply({"params": params}, INPUTS)[1], both(INPUTS))
    same(to_nnx(params, kind, gates_apart=theirs is nnx.LSTMCell), state)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("kind", "cell"), [("lstm", LSTMCell(4)), ("gru", GRUCell(4))])
def test_cells_of_equinox_step_alike_and_come_back(kind, cell, use_bias):
    eqx = pytest.importorskip("equinox", reason="Equinox (extra bench) is not installed")
    made = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}[kind](3, 4, use_bias=use_bias, key=jax.random.key(0))
    params = from_equinox(made)
    h, c = np.random.default_rng(1).normal(size=(2, 4)).astype("f4")
    last = made(jnp.array(INPUTS[0, 0]), (h, c) if kind == "lstm" else h)
    carry, _ = cell.apply({"params": params["cell"]}, (c, h) if kind == "lstm" else h, INPUTS[0, 0])
    close(carry, (last[1], last[0]) if kind == "lstm" else last)
    new = to_equinox(params, kind, use_bias=use_bias)
    again = eqx.tree_at(lambda cell: [getattr(cell, name) for name in new], made, list(new.values()))
    assert all(np.array_equal(getattr(again, name), getattr(made, name)) for name in new)
    same(from_equinox(again), params)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_nnx({"kernel": np.ones(2)}, "gru"), "a flax.nnx gru cell has dense_i and dense_h, got"),
        (lambda: to_nnx(drawn_params(RNN(GRUCell(4))), "gru"), "recurrent bias that is not zero"),
        (lambda: to_nnx(drawn_params(RNN(SimpleRNNCell(4))), "rnn", gates_apart=True), "only LSTMCell"),
        (lambda: from_equinox(3), "expected an equinox.nn.LSTMCell or GRUCell, got int"),
        (lambda: to_equinox(drawn_params(RNN(SimpleRNNCell(4))), "rnn"), "no simple recurrence"),
        (lambda: to_equinox(drawn_params(RNN(LSTMCell(4))), "lstm", use_bias=False), "biases are not zero"),
    ],
)
def test_what_they_lack_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()

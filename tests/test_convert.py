"""Conversion of weights: round trips and errors (that the numbers are right is shown in test_parity.py)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import (
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    ProjectedLSTMCell,
    ResetBeforeGRUCell,
    SimpleRNNCell,
)
from rnnjax.layers.convert import (
    carry_from_torch,
    carry_to_torch,
    from_flax,
    from_keras,
    from_torch,
    to_flax,
    to_keras,
    to_torch,
)
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN


def drawn_params(model):
    """Parameters with no zeros, so that biases that get lost are noticed."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2, 3)))["params"]
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), shapes)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


TORCH = [
    ("rnn", SimpleRNNCell(4)),
    ("lstm", LSTMCell(4)),
    ("lstm", ProjectedLSTMCell(4, projection=2)),
    ("gru", GRUCell(4)),
]
KERAS = [("rnn", SimpleRNNCell(4)), ("lstm", LSTMCell(4)), ("gru", GRUCell(4)), ("gru", ResetBeforeGRUCell(4))]


@pytest.mark.parametrize(("kind", "cell"), TORCH, ids=lambda value: type(value).__name__)
def test_to_torch_and_back(kind, cell):
    layers = [Bidirectional(RNN(cell.clone()), RNN(cell.clone(), reverse=True)) for _ in range(2)]
    params = drawn_params(StackedRNN(layers))
    same(from_torch(to_torch(params, kind), kind), params)
    single = drawn_params(RNN(cell))
    same(from_torch(to_torch(single, kind), kind), {"layers_0": single})


@pytest.mark.parametrize(("kind", "cell"), KERAS, ids=lambda value: type(value).__name__)
def test_to_keras_and_back(kind, cell):
    params = drawn_params(Bidirectional(RNN(cell.clone()), RNN(cell.clone(), reverse=True)))
    same(from_keras(to_keras(params, kind), kind, bidirectional=True), params)
    single = drawn_params(RNN(cell))
    same(from_keras(to_keras(single, kind), kind), single)


FLAX = [
    ("rnn", nn.SimpleCell(4), SimpleRNNCell(4)),
    ("lstm", nn.LSTMCell(4), LSTMCell(4)),
    ("lstm", nn.OptimizedLSTMCell(4), LSTMCell(4)),
    ("gru", nn.GRUCell(4), GRUCell(4)),
]


@pytest.mark.parametrize(("kind", "theirs", "ours"), FLAX, ids=lambda value: type(value).__name__)
def test_flax_layers_give_the_same_with_converted_weights(kind, theirs, ours):
    inputs, lengths = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32), jnp.array([5, 2, 3])
    layer = nn.RNN(theirs, return_carry=True)
    params = drawn_params(layer)
    converted = from_flax(params["cell"], kind)
    same(to_flax(converted, kind), params["cell"])
    carry, outputs = jax.jit(lambda p: layer.apply({"params": p}, inputs, seq_lengths=lengths))(params)
    last, ours = jax.jit(lambda p: RNN(ours).apply({"params": p}, inputs, lengths=lengths))(converted)
    real = np.arange(5) < lengths[:, None]
    np.testing.assert_allclose(ours[real], outputs[real], rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), last, carry)


@pytest.mark.parametrize(("kind", "theirs", "ours"), FLAX, ids=lambda value: type(value).__name__)
def test_two_directions_of_flax_give_the_same_with_converted_weights(kind, theirs, ours):
    inputs, lengths = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32), jnp.array([5, 2, 3])
    layer = nn.Bidirectional(nn.RNN(theirs.clone()), nn.RNN(theirs.clone()), return_carry=True)
    params = drawn_params(layer)
    converted = from_flax(params, kind)
    same(to_flax(converted, kind), params)
    carry, outputs = jax.jit(lambda p: layer.apply({"params": p}, inputs, seq_lengths=lengths))(params)
    model = Bidirectional(RNN(ours.clone()), RNN(ours.clone(), reverse=True))
    same(jax.tree.map(np.zeros_like, converted), jax.tree.map(np.zeros_like, drawn_params(model)))
    last, ours = jax.jit(lambda p: model.apply({"params": p}, inputs, lengths=lengths))(converted)
    real = np.arange(5) < lengths[:, None]
    np.testing.assert_allclose(ours[real], outputs[real], rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), last, carry)


def test_a_whole_flax_layer_is_taken_as_its_cell_is():
    params = drawn_params(nn.RNN(nn.OptimizedLSTMCell(4)))
    same(from_flax(params, "lstm"), from_flax(params["cell"], "lstm"))


def conversions():
    """What every function of the module returns, for every kind, next to what it was given."""
    random, cases = np.random.default_rng(0), []
    for kind, cell in TORCH:
        both = [Bidirectional(RNN(cell.clone()), RNN(cell.clone(), reverse=True)) for _ in range(2)]
        params = drawn_params(StackedRNN(both))
        state = to_torch(params, kind)
        hidden = random.normal(size=(4, 3, 5))
        theirs = (hidden, random.normal(size=(4, 3, 6))) if kind == "lstm" else hidden
        carry = carry_from_torch(theirs, kind, bidirectional=True)
        cases += [(params, state), (state, from_torch(state, kind)), (theirs, carry)]
        cases += [(carry, carry_to_torch(carry, kind, bidirectional=True))]
    for kind, cell in KERAS:
        params = drawn_params(Bidirectional(RNN(cell.clone()), RNN(cell.clone(), reverse=True)))
        weights = to_keras(params, kind)
        cases += [(params, weights), (weights, from_keras(weights, kind, bidirectional=True))]
    for kind, theirs, _ in FLAX:
        params = drawn_params(nn.Bidirectional(nn.RNN(theirs.clone()), nn.RNN(theirs.clone())))
        cases += [(params, from_flax(params, kind)), (params, to_flax(from_flax(params, kind), kind))]
    return cases


def test_what_is_returned_is_contiguous_and_its_own():
    for given, returned in conversions():
        for leaf in jax.tree.leaves(returned):
            assert leaf.flags.c_contiguous and leaf.flags.writeable
            assert bytes(leaf.data) == leaf.copy().tobytes()
            assert not any(np.shares_memory(leaf, source) for source in jax.tree.leaves(given))


def test_converted_weights_come_back_from_safetensors():
    """The writer of safetensors 0.8 takes an array's buffer, whatever its strides say."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    for _, returned in conversions():
        arrays = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(returned)}
        same(safetensors.load(safetensors.save(arrays)), arrays)


def test_without_bias_the_tree_still_fits_the_layer():
    kernels = [np.ones((3, 12), np.float32), np.ones((4, 12), np.float32)]
    for reset_after, cell in ((True, GRUCell(4)), (False, ResetBeforeGRUCell(4))):
        params = from_keras(kernels, "gru", reset_after=reset_after)
        assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, drawn_params(RNN(cell)))


def lstm_state():
    return to_torch(drawn_params(RNN(LSTMCell(4))), "lstm")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_torch(lstm_state(), "elman"), "kind must be one of"),
        (lambda: from_torch({}, "lstm"), "empty"),
        (lambda: from_torch({f"rnn.{k}": v for k, v in lstm_state().items()}, "lstm"), "strip prefixes"),
        (lambda: from_torch({k: v for k, v in lstm_state().items() if "weight_hh" not in k}, "lstm"), "is missing"),
        (lambda: from_torch(lstm_state(), "gru"), "weight_hh_l0' should have shape"),
        (lambda: to_torch(drawn_params(RNN(LayerNormLSTMCell(4))), "lstm"), "no place for"),
        (lambda: to_torch(drawn_params(RNN(ResetBeforeGRUCell(4))), "gru"), "'recurrent_bias' is missing"),
        (lambda: to_torch({"layers_0": drawn_params(RNN(LSTMCell(4))), "norm_0": {}}, "lstm"), "only for layers_0"),
        (lambda: to_keras(drawn_params(RNN(ProjectedLSTMCell(4, projection=2))), "lstm"), "no place for"),
        (lambda: to_keras(drawn_params(StackedRNN([RNN(LSTMCell(4))])), "lstm"), "expected the parameters of an RNN"),
        (lambda: from_flax({"ii": {}}, "lstm"), "a flax.linen lstm cell has"),
        (lambda: from_flax({"forward_rnn": {"cell": {}}, "backward_rnn": {}}, "gru"), "a flax.linen gru cell has"),
        (lambda: to_flax(drawn_params(RNN(LayerNormLSTMCell(4))), "lstm"), "flax.linen has no place for"),
        (lambda: to_flax(drawn_params(StackedRNN([RNN(LSTMCell(4))])), "lstm"), "expected the parameters of an RNN"),
        (lambda: from_keras([np.zeros((3, 16))], "lstm"), "has 2 or 3 arrays, got 1"),
        (lambda: from_keras([np.zeros((3, 16)), np.zeros((5, 16))], "lstm"), "'recurrent_kernel' should have shape"),
    ],
)
def test_errors_say_what_does_not_fit(call, message):
    with pytest.raises(UsageError, match=message):
        call()

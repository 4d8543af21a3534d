"""Keras' layers by their weights and configuration: activations, stacks, cells, carries."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import GRUCell, LSTMCell, ResetBeforeGRUCell, SimpleRNNCell
from rnnjax.layers.convert import (
    carry_from_keras,
    carry_to_keras,
    fitted,
    from_keras,
    from_keras_stack,
    layer_from_keras,
    to_keras,
    to_keras_stack,
)
from rnnjax.layers.recurrence import RNN, Bidirectional, StackedRNN
from tests.test_convert import same

keras = pytest.importorskip("keras", reason="Keras (extra bench) is not installed")
INPUTS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
KINDS = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
STATE = {"return_sequences": True, "return_state": True}


def drawn(layer):
    """A built layer with weights that are all non-zero, biases among them."""
    layer(INPUTS)
    random = np.random.default_rng(2)
    layer.set_weights([random.normal(size=array.shape, scale=0.5).astype("f4") for array in layer.get_weights()])
    return layer


def close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.asarray(b), atol=1e-5), ours, theirs)


LAYERS = [
    ("LSTM", {}),
    ("LSTM", {"use_bias": False}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"use_bias": False}),
    ("GRU", {"use_bias": False, "reset_after": False}),
    ("SimpleRNN", {"use_bias": False}),
    *(
        ("SimpleRNN", {"activation": name})
        for name in ("relu", "sigmoid", "linear", "softplus", "elu", "silu", "softsign")
    ),
]


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)
def test_a_layer_and_its_carry_are_taken_with_its_configuration(name, options):
    theirs, kind = drawn(getattr(keras.layers, name)(5, **STATE, **options)), KINDS[name]
    layer, params = layer_from_keras(theirs), from_keras(theirs)
    same(params, from_keras(theirs.get_weights(), config=theirs.get_config()))
    same(params, fitted(params, layer))
    first = [np.random.default_rng(3).normal(size=(3, 5)).astype("f4") for _ in range(2 if kind == "lstm" else 1)]
    outputs, *states = theirs(INPUTS, initial_state=first)
    carry, ours = layer.apply({"params": params}, INPUTS, initial_carry=carry_from_keras(first, kind))
    close(ours, outputs)
    close(carry, carry_from_keras(states, kind))
    close(carry_to_keras(carry, kind), states)
    for a, b in zip(carry_to_keras(carry_from_keras(first, kind), kind), first, strict=True):
        assert np.array_equal(a, b)
    weights = to_keras(params, kind, use_bias=theirs.use_bias)
    theirs.set_weights(weights)  # a GRU's second biases of r and z stand in the first ones
    same(from_keras(theirs), params)


@pytest.mark.parametrize("merge", ["concat", "sum", "ave", "mul"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_two_directions_and_their_carries(name, merge):
    theirs, kind = keras.layers.Bidirectional(getattr(keras.layers, name)(5, **STATE), merge_mode=merge), KINDS[name]
    layer, params = layer_from_keras(drawn(theirs)), from_keras(theirs)
    same(params, from_keras(theirs.get_weights(), kind, bidirectional=True))
    outputs, *states = theirs(INPUTS)
    carry, ours = layer.apply({"params": params}, INPUTS)
    close(ours, outputs)
    close(carry, carry_from_keras(states, kind, bidirectional=True))
    close(carry_to_keras(carry, kind, bidirectional=True), states)
    theirs.set_weights(to_keras(params, kind))
    same(from_keras(theirs), params)


def test_a_layer_that_goes_backwards_is_reversed():
    theirs = drawn(keras.layers.LSTM(5, go_backwards=True, **STATE))
    layer = layer_from_keras(theirs.get_config())
    outputs, h, c = theirs(INPUTS)
    carry, ours = layer.apply({"params": from_keras(theirs)}, INPUTS)
    close(ours[:, ::-1], outputs)
    close(carry, (c, h))


def test_a_stack_of_layers_answers_alike_and_comes_back():
    lstm = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
    model = keras.Sequential([lstm, keras.layers.GRU(5, return_sequences=True), keras.layers.Dense(2)])
    drawn(model)
    recurrent = model.layers[:2]
    layer, params = layer_from_keras(recurrent), from_keras_stack(recurrent)
    same(params, from_keras_stack([(part.get_weights(), part.get_config()) for part in recurrent]))
    same(params, fitted(params, layer))
    kernel, bias = model.layers[2].get_weights()
    close(layer.apply({"params": params}, INPUTS)[1] @ kernel + bias, model(INPUTS))
    for part, tree, kind in zip(recurrent, params.values(), ("lstm", "gru"), strict=True):
        part.set_weights(to_keras(tree, kind))
    same(from_keras_stack(recurrent), params)


@pytest.mark.parametrize("name", KINDS)
def test_stacked_cells_in_one_layer_are_a_stack(name):
    kind, cell = KINDS[name], getattr(keras.layers, f"{name}Cell")
    theirs = drawn(keras.layers.RNN([cell(5), cell(3)], return_sequences=True))
    layer, params = layer_from_keras(theirs), from_keras_stack(theirs)
    close(layer.apply({"params": params}, INPUTS)[1], theirs(INPUTS))
    theirs.set_weights([array for weights in to_keras_stack(params, kind) for array in weights])
    same(from_keras_stack(theirs), params)
    single = drawn(keras.layers.RNN(cell(5), return_sequences=True))
    close(layer_from_keras(single).apply({"params": from_keras(single)}, INPUTS)[1], single(INPUTS))


def test_trained_weights_are_exact_both_ways():
    model = keras.Sequential([keras.layers.LSTM(5, return_sequences=True), keras.layers.LSTM(3)])
    model.compile("adam", "mse")
    model.fit(INPUTS, np.ones((3, 3)), epochs=2, verbose=0)
    params = from_keras_stack(model.layers)
    for layer, weights in zip(model.layers, to_keras_stack(params, "lstm"), strict=True):
        for ours, theirs in zip(weights, layer.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    close(layer_from_keras(model.layers).apply({"params": params}, INPUTS)[1][:, -1], model(INPUTS))


def test_what_a_configuration_says_is_what_is_built():
    built = layer_from_keras(keras.layers.Bidirectional(keras.layers.GRU(5, dropout=0.1, recurrent_dropout=0.2)))
    forward = RNN(GRUCell(5), input_dropout=0.1, recurrent_dropout=0.2)
    assert built == Bidirectional(forward, forward.clone(reverse=True))
    assert layer_from_keras([keras.layers.LSTM(2), keras.layers.GRU(3, reset_after=False)]) == StackedRNN(
        [RNN(LSTMCell(2)), RNN(ResetBeforeGRUCell(3))]
    )
    assert layer_from_keras(keras.layers.SimpleRNN(2)) == RNN(SimpleRNNCell(2))


def lstm(**options):
    return keras.layers.LSTM(3, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_keras(drawn(lstm(activation="relu"))), "LSTM with activation='relu' computes what no cell here"),
        (lambda: from_keras([], config=lstm(recurrent_activation="hard_sigmoid").get_config()), "'hard_sigmoid'"),
        (lambda: layer_from_keras(keras.layers.GRU(3, activation=None)), "GRU with activation='linear'"),
        (lambda: layer_from_keras(keras.layers.Bidirectional(lstm(activation="relu"))), "activation='relu'"),
        (lambda: layer_from_keras(keras.layers.Bidirectional(lstm(), merge_mode=None)), "merge_mode=None has no like"),
        (lambda: layer_from_keras(keras.layers.SimpleRNN(3, activation="exponential")), "activation='exponential'"),
        (lambda: from_keras(keras.layers.Dense(3)), "this configuration is no SimpleRNN, LSTM or GRU of Keras"),
        (lambda: layer_from_keras(3), "config must be"),
        (lambda: from_keras(drawn(lstm()).get_weights()), "needs the layer's kind or config"),
        (lambda: from_keras(drawn(lstm()), "gru"), "kind is 'gru', but the configuration is that of a Keras lstm"),
        (lambda: from_keras(keras.layers.RNN([keras.layers.LSTMCell(3)] * 2)), "from_keras_stack converts them"),
        (lambda: from_keras_stack(lstm()), "wants a list of layers"),
        (lambda: from_keras_stack([]), "there are no layers"),
        (lambda: from_keras(lstm()), "got 0: a layer has none before it is built"),
        (lambda: to_keras(from_keras(drawn(lstm())), "lstm", use_bias=False), "biases are not zero"),
        (lambda: carry_from_keras([np.ones((2, 3))], "lstm"), r"1 direction\(s\) has 2 states, got 1"),
        (lambda: carry_to_keras(np.ones((3, 2)), "gru", bidirectional=True), "carry of a Bidirectional"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(call, message):
    with pytest.raises(UsageError, match=message):
        call()

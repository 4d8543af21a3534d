"""Keras layers with ``go_backwards=True`` hand their outputs on turned: a stack of them reads as Keras' does."""

import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.convert import from_keras_stack, layer_from_keras
from tests.test_convert_keras import INPUTS, close, keras

LSTM, GRU = keras.layers.LSTM, keras.layers.GRU
ORDERS = ([True, False], [False, True, False], [True, True, False], [True, False, True])


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_a_stack_with_layers_that_go_backwards_reads_as_in_keras(order):
    theirs = [(LSTM, GRU)[at % 2](3, return_sequences=True, go_backwards=back) for at, back in enumerate(order)]
    outputs = keras.Sequential(theirs)(INPUTS)
    outputs = outputs[:, ::-1] if sum(order) % 2 else outputs  # those here are in the order of the inputs
    close(layer_from_keras(theirs).apply({"params": from_keras_stack(theirs)}, INPUTS)[1], outputs)


def test_a_keras_stack_of_cells_that_goes_backwards_turns_what_stands_above():
    cells = [keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]
    theirs = [keras.layers.RNN(cells, return_sequences=True, go_backwards=True), LSTM(3, return_sequences=True)]
    layer = layer_from_keras(theirs)
    assert [part.reverse for part in layer.layers[0].layers] == [True, True] and layer.layers[1].reverse
    assert layer_from_keras(theirs[0]) == layer.layers[0]


def test_two_directions_above_a_layer_that_goes_backwards_are_refused():
    theirs = [LSTM(3, return_sequences=True, go_backwards=True), keras.layers.Bidirectional(LSTM(3))]
    with pytest.raises(UsageError, match="Bidirectional above a layer with go_backwards=True"):
        layer_from_keras(theirs)
    assert layer_from_keras(theirs[1:]).layers[0].backward.reverse


@pytest.mark.parametrize("wrapped", [lambda layer: layer, keras.layers.Bidirectional, lambda layer: [layer]])
def test_a_state_that_keras_keeps_is_named(wrapped):
    with pytest.raises(UsageError, match=r"stateful=True keeps its state, .* rnnjax\.Carried around the layer"):
        layer_from_keras(wrapped(LSTM(3, stateful=True)))


def test_a_class_of_keras_is_no_layer():
    with pytest.raises(UsageError, match=r"not its class: LSTM\(64\)"):
        layer_from_keras(LSTM)

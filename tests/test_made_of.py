"""What layers are made of: what is no cell, and what returns no carry, is refused by name, and never gives numbers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnjax import RNN, Bidirectional, Carried, GRUCell, LearnedCarry, LSTMCell, Outputs, StackedRNN, UsageError

KEY = jax.random.key(0)
INPUTS = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
LAYER = RNN(LSTMCell(4))
BACKWARD = RNN(LSTMCell(4), reverse=True)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (3, "RNN runs a cell, such as RNN.LSTMCell.64.. for 64 features, got 3"),
        (None, "RNN runs a cell, .* got None"),
        ("lstm", "RNN runs a cell, .* got 'lstm'"),
        ([LSTMCell(4)], "RNN runs a cell, .* got builtins.list"),
        (jnp.tanh, "RNN runs a cell, .* got .*tanh"),
        (nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), "RNN runs a cell, .* got flax.nnx.*GRUCell$"),
        (LSTMCell, r"RNN: give a cell, and not its class: RNN\(LSTMCell\(64\)\)"),
        (nn.LSTMCell, r"RNN: give a cell, and not its class: RNN\(LSTMCell\(64\)\)"),
        (nn.Dense(4), "Dense is none: a cell is a rnnjax.RecurrentCell or a flax.linen.RNNCellBase"),
        (LAYER, "RNN is none: .* layers stand one above the other in a StackedRNN"),
        (nn.ConvLSTMCell(4, (3, 3)), "ConvLSTMCell has 3 axes of features, and RNN .*; flax.linen.RNN runs it"),
    ],
)
def test_what_is_no_cell_is_refused(cell, message):
    with pytest.raises(UsageError, match=message):
        RNN(cell)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNN(LSTMCell(4), first_carry=jnp.zeros(4)), "first_carry must be a module, .* initial_carry="),
        (lambda: RNN(LSTMCell(4), first_carry=LearnedCarry), "such as LearnedCarry.., got .*carries.LearnedCarry"),
        (lambda: RNN(LSTMCell(4), unroll=0), "unroll must be a positive number of steps, got 0"),
        (lambda: LSTMCell("4"), "LSTMCell: features must be an integer, got '4'"),
        (lambda: GRUCell(2.5), "GRUCell: features must be an integer, got 2.5"),
        (lambda: StackedRNN([LAYER, Outputs(LAYER)]), "layer 1 is Outputs, whose carry the stack could not pass on"),
        (lambda: Bidirectional(Outputs(LAYER), BACKWARD), "forward must be .* returns its carry, .* got Outputs"),
        (lambda: Bidirectional(LAYER, Carried(LAYER)), "backward must be .* returns its carry, .* got Carried"),
        (lambda: Carried(Outputs(LAYER)), r"Carried: give a layer that returns \(carry, outputs\), .* got Outputs"),
        (lambda: Carried(Carried(LAYER)), "Carried: give a layer .* got Carried"),
        (lambda: Carried(nn.RNN(nn.GRUCell(4))), "Carried: give a layer .* got RNN"),
        (lambda: Carried(LSTMCell(4)), "Carried: give a layer .* got LSTMCell"),
        (lambda: Outputs(Outputs(LAYER)), "Outputs cannot stand around Outputs"),
        (lambda: Outputs(Carried(LAYER)), "Outputs cannot stand around Carried; in a module of yours"),
        (lambda: Outputs(3), "Outputs: give a layer, .* got 3"),
    ],
)
def test_what_a_layer_cannot_be_made_of_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Outputs(nn.Dense(4)), r"Outputs: Dense does not return \(carry, outputs\)"),
        (Outputs(nn.RNN(nn.GRUCell(4))), "Outputs: RNN does not return"),
        (StackedRNN([LAYER, Carried(LAYER)]), "layer 1, Carried, returns a tuple .* goes around the stack"),
    ],
    ids=["dense", "flax", "carried"],
)
def test_a_row_of_outputs_is_never_taken_for_them(layer, message):
    with pytest.raises(UsageError, match=message):
        layer.init(KEY, INPUTS)


@pytest.mark.parametrize("make", [Outputs, Carried])
@pytest.mark.parametrize("layer", [LAYER, StackedRNN([RNN(GRUCell(3)), nn.Dense(2), LAYER])], ids=["one", "stack"])
def test_a_layer_around_another_says_what_that_says(make, layer):
    around = make(layer)
    assert around.features == layer.features and around.backward_features == 0
    ours, theirs = (each.initialize_carry(None, (2, 3)) for each in (around, layer))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_first_carry_of_a_layer_around_another_may_be_learned():
    layer = RNN(GRUCell(4), first_carry=LearnedCarry(nn.initializers.ones))
    variables = layer.init(KEY, INPUTS)
    for around in (Carried(layer), Outputs(layer)):
        carry = around.apply(variables, None, (2, 3), method="initialize_carry")
        np.testing.assert_array_equal(carry, np.ones((2, 4)))

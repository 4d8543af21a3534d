"""Every public cell and layer: copied, pickled, hashed and compared, it stays the module that it was."""

import copy
import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import RNN, Bidirectional, LSTMCell, SimpleRNNCell, StackedRNN
from rnnjax.layers.cells import CELLS
from rnnjax.layers.cells.foreign import adapted
from rnnjax.layers.conv import SequenceConvStack

BOTH = Bidirectional(RNN(LSTMCell(4)), RNN(SimpleRNNCell(4), reverse=True), merge="mul")
MADE = {
    **{name: lambda kind=kind: kind(4) for name, kind in CELLS.items()},
    "relu": lambda: SimpleRNNCell(4, activation=nn.relu, recurrent_init=rnnjax.identity),
    "sigmoid": lambda: SimpleRNNCell(4, activation=nn.sigmoid, dtype=jnp.bfloat16),
    "RNN": lambda: RNN(SimpleRNNCell(4), zoneout=[0.1], remat="sqrt", train=True, first_carry=rnnjax.LearnedCarry()),
    "Bidirectional": lambda: BOTH,
    "StackedRNN": lambda: StackedRNN([RNN(SimpleRNNCell(4)), nn.Dense(3), BOTH], dropout=0.1),
    "LearnedCarry": rnnjax.LearnedCarry,
    "Outputs": lambda: rnnjax.Outputs(StackedRNN([BOTH])),
    "Carried": lambda: rnnjax.Carried(RNN(SimpleRNNCell(4))),
    "AttentionPool": lambda: rnnjax.AttentionPool(4),
    "ConvStack": lambda: rnnjax.ConvStack((4,)),
    "SequenceConvStack": lambda: SequenceConvStack((4,)),
    "a cell of Flax": lambda: RNN(nn.GRUCell(4)),
    "an adapter": lambda: adapted(nn.LSTMCell(4, activation_fn=nn.relu)),
}
WAYS = {"deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda module: pickle.loads(pickle.dumps(module))}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MADE)
def test_a_module_is_equal_to_its_copies_and_hashes_alike(name, way):
    module = MADE[name]()
    again = WAYS[way](module)
    assert type(again) is type(module) and again == module and hash(again) == hash(module)
    assert repr(again) == repr(module)
    assert jax.jit(lambda module: module == again, static_argnums=0)(again)


def test_every_public_module_is_among_them():
    public = [getattr(rnnjax, name) for name in rnnjax.__all__]
    modules = {kind for kind in public if isinstance(kind, type) and issubclass(kind, nn.Module)}
    models = {kind for kind in modules if kind.__module__.startswith("rnnjax.models")}
    bases = {rnnjax.RecurrentCell, rnnjax.LinearCell}
    assert modules - models - bases <= {type(make()) for make in MADE.values()}


def test_modules_that_differ_are_unequal():
    assert RNN(SimpleRNNCell(4)) != RNN(SimpleRNNCell(4, activation=nn.relu))
    assert copy.deepcopy(RNN(LSTMCell(4))) != RNN(LSTMCell(4), reverse=True)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_computes_what_the_original_does(way):
    layer, inputs = StackedRNN([RNN(SimpleRNNCell(4)), RNN(nn.GRUCell(3))]), np.ones((2, 3, 2), np.float32)
    variables = layer.init(jax.random.key(0), inputs)
    with rnnjax.reporting() as ran:
        outputs = WAYS[way](layer).apply(variables, inputs)[1]
    np.testing.assert_array_equal(outputs, layer.apply(variables, inputs)[1])
    assert ran["layers_0"] == "fused", "its activation is still the one whose slope is known"


def test_a_model_that_holds_one_is_copied_too():
    model = nn.Sequential([rnnjax.Outputs(RNN(SimpleRNNCell(4))), nn.Dense(2)])
    assert copy.deepcopy(model) == model


def test_a_closure_is_copied_as_it_is_and_refused_by_pickle_itself():
    init = nn.initializers.normal(0.1)
    cell = SimpleRNNCell(4, recurrent_init=init)
    assert copy.deepcopy(cell) == cell
    with pytest.raises((pickle.PicklingError, AttributeError), match=r"pickle.*init|init.*pickle"):
        pickle.dumps(cell)

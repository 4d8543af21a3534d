"""Options that are True or False are that, and nothing that Python takes for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, Bidirectional, LSTMCell, StackedRNN, UsageError

INPUTS = jnp.ones((2, 3, 4))


def bidirectional(**options):
    return Bidirectional(RNN(LSTMCell(3)), RNN(LSTMCell(3), reverse=True), **options)


def stacked(**options):
    return StackedRNN([RNN(LSTMCell(3))], **options)


ATTRIBUTES = {
    "reverse": lambda given: RNN(LSTMCell(3), reverse=given),
    "variational": lambda given: RNN(LSTMCell(3), variational=given),
    "train": lambda given: RNN(LSTMCell(3), train=given),
    "train of two directions": lambda given: bidirectional(train=given),
    "train of a stack": lambda given: stacked(train=given),
    "residual": lambda given: stacked(residual=given),
    "pre_norm": lambda given: stacked(pre_norm=given),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("given", ["no", "yes", 2, 0.0, [True], np.ones(1, bool), jnp.int32(1)], ids=repr)
def test_what_is_no_boolean_is_refused_where_a_layer_is_made(name, given):
    with pytest.raises(UsageError, match=f"{name.split()[0]} must be True or False, got "):
        ATTRIBUTES[name](given)


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("given", [True, np.True_, jnp.array(True), np.array(True)], ids=lambda given: str(type(given)))
def test_booleans_of_any_kind_make_equal_layers(name, given):
    made = ATTRIBUTES[name](given)
    assert made == ATTRIBUTES[name](True) and hash(made) == hash(ATTRIBUTES[name](True))


@pytest.mark.parametrize("layer", [RNN(LSTMCell(3)), bidirectional(), stacked()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("option", ["train", "return_carries"])
def test_a_call_refuses_what_is_no_boolean(layer, option):
    def call(given):
        return jax.eval_shape(lambda: layer.init(jax.random.key(0), INPUTS, **{option: given}))

    for given in ("yes", 2, [True]):
        with pytest.raises(UsageError, match=f"{type(layer).__name__}: {option} must be True or False, got "):
            call(given)
    for given in (False, np.False_, np.array(False)):
        call(given)
    with pytest.raises(UsageError, match=f"{type(layer).__name__}: {option} is traced"):
        jax.eval_shape(call, jax.ShapeDtypeStruct((), bool))

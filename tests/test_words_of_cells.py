"""Words of other libraries for a cell, and for what surrounds layers, are answered by ours, or by a sentence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax import (
    RNN,
    Bidirectional,
    Carried,
    GRUCell,
    LRUCell,
    LSTMCell,
    ProjectedLSTMCell,
    RecurrentCell,
    SimpleRNNCell,
    StackedRNN,
    UsageError,
)
from rnnjax.layers import words

KEY, INPUTS = jax.random.key(0), jnp.ones((2, 3, 5))
CARRY = jnp.zeros((2, 4)), jnp.zeros((2, 4))


def called(cell, *args):
    return jax.eval_shape(lambda: cell.init(KEY, *args))


class Tensor:
    """An array of another library: it has a shape, and a dtype that is none of NumPy's."""

    shape, dtype, ndim = (2, 4), "theirs.float32", 2


MADE = {
    "hidden_size": (lambda: LSTMCell(hidden_size=64), "LSTMCell: hidden_size .* the width is the first argument"),
    "units": (lambda: GRUCell(units=64), "GRUCell: units .* features=64"),
    "both sizes": (lambda: LSTMCell(3, 64), r"input_init must be an initialiser.* got 64; .* by LSTMCell\(features\)"),
    "input_size": (lambda: LSTMCell(input_size=3), "the width D is read off the inputs"),
    "kernel_init": (lambda: LSTMCell(4, kernel_init=nn.initializers.zeros), "no option here; input_init="),
    "recurrent_initializer": (lambda: GRUCell(4, recurrent_initializer="zeros"), "no option here; recurrent_init="),
    "activation": (lambda: LSTMCell(4, activation="relu"), r"SimpleRNNCell\(64, activation=nn.relu\) has one; gated"),
    "a name of a function": (lambda: SimpleRNNCell(4, activation="relu"), "must be a function, such as nn.relu"),
    "use_bias": (lambda: LSTMCell(4, use_bias=False), "the bias is always there"),
    "reset_after": (lambda: GRUCell(4, reset_after=False), "ResetBeforeGRUCell has it False"),
    "proj_size": (lambda: LSTMCell(4, proj_size=2), r"ProjectedLSTMCell\(64, projection=32\)"),
    "dropout": (lambda: LSTMCell(4, dropout=0.1), "input_dropout= and recurrent_dropout= of RNN"),
    "reverse": (lambda: LSTMCell(4, reverse=True), r"it is an option of the layer: RNN\(cell, reverse=...\)"),
    "zoneout": (lambda: LSTMCell(4, zoneout=0.1), r"it is an option of the layer: RNN\(cell, zoneout=...\)"),
    "a slip": (lambda: LSTMCell(4, fetaures=2), "fetaures is no option here; it has features, input_init"),
    "a flag as width": (lambda: LSTMCell(True), "features must be an integer, got True"),
    "a dtype of integers": (lambda: LSTMCell(4, dtype=jnp.int32), "dtype must be a floating dtype, such as"),
    "a dtype of theirs": (lambda: LRUCell(4, param_dtype=Tensor.dtype), "param_dtype must be a floating dtype"),
    "no rate": (
        lambda: RNN(LSTMCell(4), recurrent_dropout=None),
        "must lie in .* got None; 0 is none",
    ),
    "text as rate": (lambda: StackedRNN([RNN(LSTMCell(4))], dropout="0.1"), "dropout must lie in .* got '0.1'"),
    "unroll=True": (lambda: RNN(LSTMCell(4), unroll=True), "unroll must be a positive number of steps, got True"),
    "remat=True": (lambda: RNN(LSTMCell(4), remat=True), "remat must be a positive number of steps, 'sqrt' or None"),
    "a stack that reads forwards as backward": (
        lambda: Bidirectional(StackedRNN([RNN(LSTMCell(4))]), StackedRNN([RNN(LSTMCell(4)), nn.Dense(4)])),
        "the backward StackedRNN is of layers that each need reverse=True",
    ),
    "a stack that reads backwards as forward": (
        lambda: Bidirectional(StackedRNN([RNN(LSTMCell(4), reverse=True)]), RNN(LSTMCell(4), reverse=True)),
        "the forward StackedRNN is of layers that each need reverse=False",
    ),
}
CALLED = {
    "inputs first": (lambda: called(LSTMCell(4), INPUTS[:, 0], CARRY), r"the carry first, cell\(carry, inputs"),
    "no carry": (lambda: called(GRUCell(4), None, INPUTS[:, 0]), r"cell.initialize_carry\(key, inputs.shape\)"),
    "h alone": (lambda: called(LSTMCell(4), CARRY[0], INPUTS[:, 0]), r"the carry must be \(c, h\), got"),
    "a carry of theirs": (
        lambda: RNN(GRUCell(4)).init(KEY, INPUTS, initial_carry=Tensor()),
        r"must be of JAX or NumPy arrays, got a .*Tensor; rnnjax.convert.carry_from_torch",
    ),
    "a carry with an axis of layers": (
        lambda: RNN(GRUCell(4)).init(KEY, INPUTS, initial_carry=jnp.zeros((1, 2, 4))),
        r"needs float32 \(2, 4\), got float32 \(1, 2, 4\); rnnjax.convert.carry_from_torch",
    ),
    "a carry for what keeps one": (
        lambda: Carried(RNN(GRUCell(4))).init(KEY, INPUTS, initial_carry=1),
        "Carried: initial_carry is no option here; the carry is kept: give apply the collection",
    ),
    "lengths by another name": (lambda: Carried(RNN(GRUCell(4))).init(KEY, INPUTS, seq_lengths=1), "the call lengths="),
    "lengths in the place of a mask": (lambda: rnnjax.pool(INPUTS, jnp.ones(2, int), "last"), "mask must be boolean"),
    "no sequences": (lambda: rnnjax.pack([]).rows([]), r"an empty list has no features; give an array \[0, T, D\]"),
    "sequences in the place of lengths": (
        lambda: rnnjax.pack([np.ones((3, 2)), np.ones((2, 2))]),
        r"got sequences; pack\(\[len\(each\) for each in sequences\]\) makes the packing",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_word_of_another_library_is_answered_where_a_cell_or_layer_is_made(name):
    said, message = MADE[name]
    with pytest.raises(UsageError, match=message):
        said()


@pytest.mark.parametrize("name", CALLED)
def test_what_does_not_fit_is_answered_where_it_is_given(name):
    said, message = CALLED[name]
    with pytest.raises(UsageError, match=message):
        said()


def test_no_answer_stands_for_an_option_that_a_cell_has():
    kinds = [kind for kind in (getattr(rnnjax, name) for name in rnnjax.__all__) if isinstance(kind, type)]
    options = {name for kind in kinds if issubclass(kind, RecurrentCell) for name in kind.__dataclass_fields__}
    assert {"chrono_steps", "projection"} <= options
    assert not (options - {"activation"}) & set(words.OURS_OF_CELLS)


def test_a_cell_of_ones_own_has_options_of_its_own():
    class Scaled(GRUCell):
        units: int = 2
        dropout_init: str = "none"

    assert Scaled(4, units=3).units == 3
    with pytest.raises(UsageError, match="Scaled: scale is no option here; it has features"):
        Scaled(4, scale=1)


def test_a_list_is_the_carry_that_it_means():
    cell = LSTMCell(4)
    variables = cell.init(KEY, CARRY, INPUTS[:, 0])
    got = cell.apply(variables, list(CARRY), INPUTS[:, 0])
    jax.tree.map(np.testing.assert_array_equal, got, cell.apply(variables, CARRY, INPUTS[:, 0]))


@pytest.mark.parametrize("cell", [LSTMCell(4), ProjectedLSTMCell(4), GRUCell(4), LRUCell(4)], ids=lambda one: one._kind)
def test_the_first_carry_of_a_stream_can_be_donated(cell):
    layer = StackedRNN([RNN(cell), RNN(cell)])
    variables = layer.init(KEY, INPUTS)
    chunk = jax.jit(lambda carry, inputs: layer.apply(variables, inputs, initial_carry=carry)[0], donate_argnums=0)
    carry = layer.initialize_carry(KEY, (2, 5))
    first = jax.tree.leaves(carry)
    for _ in range(2):
        carry = chunk(carry, INPUTS)
    assert all(leaf.is_deleted() for leaf in first)
    expected = layer.apply(variables, jnp.concatenate([INPUTS, INPUTS], 1))[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), carry, expected)

"""Several sequences to a row: where they lie, and that a recurrence over them is one over each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnnjax
from rnnjax import RNN, Bidirectional, GRUCell, LearnedCarry, LRUCell, LSTMCell, StackedRNN, UsageError
from tests.cell_cases import close

LENGTHS = np.array([3, 7, 1, 0, 5, 2, 7, 4])
T = 7
INPUTS = np.random.default_rng(0).normal(size=(len(LENGTHS), T, 2)).astype(np.float32)
REAL = np.arange(T) < LENGTHS[:, None]
KEY = jax.random.key(0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=40), st.integers(0, 20), st.integers(0, 3))
def test_every_step_has_one_place(lengths, more, empty):
    size = max(1, *lengths, 1) + more
    packing = rnnjax.pack(np.array(lengths, int), size)
    fixed = rnnjax.pack(np.array(lengths, int), size, rows=packing.mask.shape[0] + empty)
    for packed in (packing, fixed):
        flat = packed.origins.ravel()
        for number, (place, length) in enumerate(zip(packed.places, lengths, strict=True)):
            expected = number * packed.steps + np.arange(length)
            np.testing.assert_array_equal(flat[place : place + length], expected)
            assert place % size + length <= size
        assert packed.mask.sum() == sum(lengths)
        assert packed.resets.sum() == np.count_nonzero(lengths)
    # As many rows as the steps ask for; and of rows filled by first fit, all but one are more than half full.
    assert sum(lengths) <= packing.mask.size and packing.mask.shape[0] <= 2 * sum(lengths) / size + 1


@pytest.mark.parametrize("lengths", [LENGTHS, [0, 0], [], [1]])
def test_what_is_packed_comes_back(lengths):
    packing = rnnjax.pack(lengths, 9)
    inputs = INPUTS[: len(lengths), : packing.steps]
    real = np.arange(packing.steps) < np.array(lengths, int).reshape(-1, 1)
    rows = np.asarray(packing.rows(inputs))
    assert rows.shape == (*packing.mask.shape, 2) and not rows[~packing.mask].any()
    np.testing.assert_array_equal(packing.sequences(rows), np.where(real[..., None], inputs, 0))
    ends = [row[length - 1] if length else np.zeros(2) for row, length in zip(inputs, lengths, strict=True)]
    np.testing.assert_array_equal(packing.last(rows), np.reshape(ends, (-1, 2)))


def test_the_longest_go_first_into_the_first_row_with_room():
    packing = rnnjax.pack([4, 5, 3, 2, 2], steps=8)
    rows = packing.origins // packing.steps * packing.mask
    np.testing.assert_array_equal(rows, [[1, 1, 1, 1, 1, 2, 2, 2], [0, 0, 0, 0, 3, 3, 4, 4]])
    assert packing.mask.all()


LAYERS = {
    "lstm": lambda: RNN(LSTMCell(4)),
    "scan": lambda: RNN(GRUCell(4), implementation="scan"),
    "linear": lambda: RNN(LRUCell(4), implementation="associative"),
    "linear, chunked": lambda: RNN(LRUCell(4), implementation="chunked"),
    "both ways, stacked": lambda: StackedRNN(
        [Bidirectional(RNN(LSTMCell(4)), RNN(GRUCell(3), reverse=True)), RNN(LSTMCell(3), first_carry=LearnedCarry())]
    ),
}


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("lstm", 16),
        ("both ways, stacked", 16),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("lstm", 7), ("scan", 16), ("linear", 16), ("linear, chunked", 16))
        ),
    ],
)
def test_packed_rows_give_the_outputs_and_gradients_of_padded_ones(name, steps):
    layer, packing = LAYERS[name](), rnnjax.pack(LENGTHS, steps)
    assert packing.mask.shape[0] < len(LENGTHS)
    variables = layer.init(KEY, INPUTS)
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
    garbage = np.where(REAL[..., None], INPUTS, np.nan)

    def packed(variables, inputs, packing):
        _, outputs = layer.apply(variables, packing.rows(inputs), mask=packing.mask, resets=packing.resets)
        outputs = packing.sequences(outputs)
        return jnp.sin(outputs).sum(), outputs

    def padded(variables, inputs):
        outputs = layer.apply(variables, inputs, lengths=LENGTHS)[1]
        return jnp.sin(outputs).sum(), outputs

    theirs = jax.jit(jax.grad(padded, (0, 1), has_aux=True))(variables, garbage)
    ours = jax.jit(jax.grad(packed, (0, 1), has_aux=True))(variables, garbage, packing)
    close(ours, theirs)
    alone = jax.jit(layer.apply)(variables, INPUTS[4:5, :5])[1][0]  # which no other sequence touches
    np.testing.assert_allclose(ours[1][4, :5], alone, atol=1e-6)


def test_a_sequence_is_the_same_to_the_bit_whatever_shares_its_row():
    """In rows of one number and length: only the neighbours differ."""
    layer, packing = RNN(LSTMCell(4)), rnnjax.pack(LENGTHS, 16)
    variables = layer.init(KEY, INPUTS)

    @jax.jit
    def run(inputs):
        return packing.sequences(
            layer.apply(variables, packing.rows(inputs), mask=packing.mask, resets=packing.resets)[1]
        )

    other = np.where(np.arange(len(LENGTHS))[:, None, None] % 2, INPUTS, 1e3).astype(np.float32)
    np.testing.assert_array_equal(run(INPUTS)[1::2], run(other)[1::2])


def test_carries_of_each_sequence_are_found_at_its_ends():
    layer, packing = Bidirectional(RNN(LSTMCell(4)), RNN(GRUCell(3), reverse=True)), rnnjax.pack(LENGTHS, 16)
    variables = layer.init(KEY, INPUTS)
    options = {"mask": packing.mask, "resets": packing.resets, "return_carries": True}
    (ahead, behind), _ = layer.apply(variables, packing.rows(INPUTS), **options)
    ours = jax.tree.map(packing.last, ahead), packing.first(behind)
    close(ours, layer.apply(variables, INPUTS, lengths=LENGTHS)[0], 1e-6)


def test_packings_of_one_shape_share_a_program_and_unequal_arrays_pack_alike():
    traces = []

    @jax.jit
    def run(packing, inputs):
        traces.append(inputs.shape)
        return packing.sequences(packing.rows(inputs))

    for seed in range(3):
        lengths = np.maximum(np.random.default_rng(seed).permutation(LENGTHS) - seed, 0)
        packing = rnnjax.pack(lengths, 16, rows=3, longest=T)
        real = (np.arange(T) < lengths[:, None])[..., None]
        np.testing.assert_array_equal(run(packing, INPUTS), INPUTS * real)
        each = [row[:length] for row, length in zip(INPUTS, lengths, strict=True)]
        np.testing.assert_array_equal(packing.rows(each), packing.rows(INPUTS))
    assert len(traces) == 1
    assert packing.sequences(packing.rows(INPUTS), steps=9).shape == (8, 9, 2)


PACKING = rnnjax.pack([3, 2], 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rnnjax.pack([3, 9], 8), "the longest sequence has 9 steps, and a row has 8"),
        (lambda: rnnjax.pack([5, 5, 5], 8, rows=2), "take 3 rows of 8 steps, and rows is 2"),
        (lambda: rnnjax.pack([3, 5], 8, longest=4), "the longest sequence has 5 steps, and longest is 4"),
        (lambda: rnnjax.pack([1.5]), "lengths must be integers"),
        (lambda: rnnjax.pack([[1]]), r"lengths must be integers \[N\]"),
        (lambda: rnnjax.pack([-1]), "none below 0"),
        (lambda: jax.jit(lambda n: rnnjax.pack(n).mask)(jnp.ones(2, int)), "lengths must be known"),
        (lambda: PACKING.rows(np.zeros((3, 3, 1))), r"sequences must have shape \[2, T, ...\], got \[3, 3, 1\]"),
        (lambda: PACKING.rows(np.zeros((2, 2, 1))), "sequences of 3 steps, but the array holds 2"),
        (lambda: PACKING.rows([np.zeros((3, 1)), np.zeros((1, 1))]), r"of lengths \[3, 1\], packed were \[3, 2\]"),
        (lambda: PACKING.sequences(jnp.zeros((2, 5))), r"rows must have shape \[1, 5, ...\], got \[2, 5\]"),
        (lambda: PACKING.sequences(jnp.zeros((1, 5)), steps=2), "the longest sequence has 3 steps, and steps is 2"),
    ],
)
def test_what_cannot_be_packed_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()

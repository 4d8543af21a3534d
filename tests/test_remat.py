"""Rematerialisation over chunks of time: the same numbers, and memory that grows like the root of T."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rnnjax.layers.cells import GRUCell, LSTMCell
from rnnjax.layers.recurrence import RNN
from tests.cell_cases import (
    BATCH,
    INPUTS,
    OTHERS_LONG,
    STEPS,
    close,
    compiled_gradients,
    drawn_carry,
    drawn_inputs,
    gradients_of,
    name_of,
)

RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[1, 2] = RESETS[2, 3] = True


@pytest.mark.parametrize("case", OTHERS_LONG, ids=name_of)
def test_remat_changes_no_number(case):
    """In chunks of 4 (the last one padded), with a mask and resets."""
    mask = np.arange(STEPS) < np.array([6, 5, 0])[:, None]
    given = case.params(), drawn_inputs(), drawn_carry(case), mask, RESETS
    close(compiled_gradients(case.name, remat=4)(*given), compiled_gradients(case.name)(*given))


@pytest.mark.parametrize(("remat", "reverse"), [(1, False), ("sqrt", True), (100, False)])
def test_any_chunk_length_without_a_mask(remat, reverse):
    inputs, carry = drawn_inputs(), jnp.ones((BATCH, 3))
    layer = RNN(GRUCell(3), reverse=reverse)
    params = jax.jit(layer.init)(jax.random.key(0), inputs)
    plain = jax.jit(gradients_of(layer))(params, inputs, carry)
    close(jax.jit(gradients_of(layer.clone(remat=remat)))(params, inputs, carry), plain)


@pytest.mark.parametrize("case", OTHERS_LONG, ids=name_of)
def test_a_batch_without_rows(case):
    """Any batch axis of size zero, and no steps: shapes as without remat, and gradients of zero."""
    params = case.params()
    for remat, shape in itertools.product(("sqrt", 2), ((0, 5), (3, 0, 5), (0, 3, 4), (2, 0))):
        inputs = np.zeros((*shape, INPUTS), np.float32)

        def loss(params, layer, inputs=inputs):
            last, outputs = layer.apply(params, inputs)
            return outputs.sum(), (last, outputs)

        run = jax.grad(loss, has_aux=True)
        gradients, results = jax.eval_shape(lambda p, run=run, remat=remat: run(p, case.rnn(remat=remat)), params)
        assert results == jax.eval_shape(lambda p, run=run: run(p, case.rnn())[1], params)
        assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize("remat", ["sqrt", 2])
def test_gradients_of_a_batch_without_rows_are_zero(remat):
    layer, inputs = RNN(LSTMCell(6), remat=remat), np.zeros((0, 5, 4), np.float32)
    params = jax.jit(layer.init)(jax.random.key(0), inputs)
    gradients, (last, outputs) = jax.jit(gradients_of(layer))(params, inputs, (jnp.zeros((0, 6)),) * 2)
    assert outputs.shape == (0, 5, 6) and [leaf.shape for leaf in last] == [(0, 6), (0, 6)]
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_dropout_draws_the_same_masks_in_the_forward_and_the_recomputed_pass():
    """The gradient by finite differences, under a fixed key with fresh masks at each step."""
    with jax.enable_x64(True):
        inputs = drawn_inputs(np.float64)
        layer = RNN(
            LSTMCell(3, param_dtype=jnp.float64), remat=2, recurrent_dropout=0.4, variational=False, zoneout=0.2
        )
        params = jax.jit(layer.init)(jax.random.key(0), inputs)
        rngs = {"dropout": jax.random.key(1)}
        run = jax.jit(lambda x: jnp.sin(layer.apply(params, x, train=True, rngs=rngs)[1]).sum())
        check_grads(run, (inputs,), order=1, modes=["rev"])


@pytest.mark.optimized
def test_memory_grows_like_the_root_of_the_number_of_steps():
    """Temporaries of the compiled gradient at 2,500 and 10,000 steps: about 4 times more, and with remat 2 times."""

    def temporaries(steps, remat):
        layer = RNN(LSTMCell(32), remat=remat)
        inputs = jnp.zeros((1, steps, INPUTS))
        params = jax.eval_shape(layer.init, jax.random.key(0), inputs)
        loss = lambda p, x: sum(jnp.sum(leaf) for leaf in layer.apply(p, x)[0])  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(params, inputs).compile().memory_analysis().temp_size_in_bytes

    plain, chunked = ([temporaries(steps, remat) for steps in (2_500, 10_000)] for remat in (None, "sqrt"))
    assert plain[1] / plain[0] > 3.5
    assert chunked[1] / chunked[0] < 2.6
    assert chunked[1] < plain[1] / 15


@pytest.mark.parametrize("remat", [None, "sqrt", 2500])
def test_a_long_sequence_without_rows(remat):
    """Long enough for the projection in chunks."""
    inputs = jnp.zeros((0, 5000, 2))
    layer = RNN(LSTMCell(3), remat=remat)
    variables = layer.init(jax.random.key(0), jnp.zeros((1, 2, 2)))
    (cell, hidden), outputs = jax.eval_shape(layer.apply, variables, inputs)
    assert (cell.shape, hidden.shape, outputs.shape) == ((0, 3), (0, 3), (0, 5000, 3))

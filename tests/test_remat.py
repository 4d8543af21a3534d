"""Rematerialisation over chunks of time: the same numbers, and memory that grows like the root of T."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_cases import BATCH, CELLS, INPUTS, STEPS, close, drawn_carry, drawn_inputs, name_of
from jax.test_util import check_grads

from rnnjax.cells import GRUCell, LSTMCell
from rnnjax.recurrence import RNN

RESETS = np.zeros((BATCH, STEPS), bool)
RESETS[1, 2] = RESETS[2, 3] = True


def gradients(layer, params, inputs, carry, **options):
    def loss(params, inputs, carry):
        last, outputs = layer.apply(params, inputs, initial_carry=carry, **options)
        scalar = jnp.sin(outputs).sum() + sum(jnp.sin(jnp.abs(leaf)).sum() for leaf in jax.tree.leaves(last))
        return scalar, (last, outputs)

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(params, inputs, carry)


@pytest.mark.parametrize("case", CELLS, ids=name_of)
def test_remat_changes_no_number(case):
    """In chunks of 4 (the last one padded), with lengths and resets, in reverse."""
    given = case.params(), drawn_inputs(), drawn_carry(case)
    options = {"lengths": np.array([6, 5, 0]), "resets": RESETS}
    plain = gradients(case.rnn(reverse=True), *given, **options)
    close(gradients(case.rnn(reverse=True, remat=4), *given, **options), plain)


def test_any_chunk_length_without_a_mask():
    inputs = drawn_inputs()
    params = jax.jit(RNN(GRUCell(3)).init)(jax.random.key(0), inputs)
    carry = jnp.ones((BATCH, 3))
    plain = gradients(RNN(GRUCell(3)), params, inputs, carry)
    for remat in (1, "sqrt", 100):
        close(gradients(RNN(GRUCell(3), remat=remat), params, inputs, carry), plain)


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

"""Several steps in one iteration of a fused recurrence: the numbers of one by one, and no copy of the sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax import RNN, GRUCell, LSTMCell, SimpleRNNCell
from rnnjax.ahead import text
from tests.marks import often

CELLS = [SimpleRNNCell, LSTMCell, GRUCell]
MASK = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0] * 6], bool)
RESETS = np.arange(6) == 3


def gradient(cell, unroll, inputs, rows=slice(None), **options):
    layer = RNN(cell(4), implementation="fused", unroll=unroll, zoneout=0.1, variational=False, **options)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    mask = MASK[rows, : inputs.shape[1]]

    def loss(variables, inputs):
        marks = {"mask": mask, "resets": RESETS[: inputs.shape[1]], "train": True, "return_carries": True}
        made = layer.apply(variables, inputs, rngs=rngs, **marks)
        return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(made)), made

    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(layer.init(rngs, inputs), inputs)


@pytest.mark.parametrize(
    ("cell", "reverse"),
    often([(cell, reverse) for cell in CELLS for reverse in (False, True)], [(GRUCell, True)]),
)
def test_the_numbers_are_those_of_one_step_at_a_time(cell, reverse):
    inputs = jax.random.normal(jax.random.key(2), (3, 6, 2))
    options = {"reverse": reverse, "recurrent_dropout": 0.2}
    for unroll in (3, 4):  # of 6 steps 3 in each iteration
        found, right = (gradient(cell, count, inputs, **options) for count in (unroll, 1))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5), found, right)


@pytest.mark.parametrize("steps", [5, 1, 0])
def test_any_number_of_steps_and_rows_will_do(steps):
    inputs = jax.random.normal(jax.random.key(2), (1, steps, 2))
    found, right = (gradient(LSTMCell, count, inputs, slice(1)) for count in (4, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5), found, right)


@pytest.mark.optimized
@pytest.mark.parametrize("cell", CELLS)
def test_no_iteration_copies_the_sequence(cell):
    layer, inputs = RNN(cell(8), implementation="fused", unroll=4), jnp.zeros((8, 40, 4))
    variables = jax.eval_shape(layer.init, jax.random.key(0), inputs)
    run = jax.jit(jax.grad(lambda v, x: (layer.apply(v, x)[1] ** 2).sum(), (0, 1)))
    loops = text.loops(run.lower(variables, inputs).compile().as_text())
    assert len(loops) >= 2 and not [copy for loop in loops for copy in loop.copies]

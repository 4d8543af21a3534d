"""``jax.vmap`` over an axis that lies on a mesh with Explicit axes, as ``jax.make_mesh`` makes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from rnnjax import RNN, GRUCell, LSTMCell, SimpleRNNCell

KEY = jax.random.key(0)
INPUTS = jax.random.normal(KEY, (2, 3, 4, 5))  # two batches


LONG = (pytest.mark.slow, pytest.mark.long)
CASES = [
    (SimpleRNNCell(4), "as they were made"),
    pytest.param(SimpleRNNCell(4), "on the mesh", marks=LONG),
    pytest.param(SimpleRNNCell(4), "one set a batch", marks=LONG),
    pytest.param(LSTMCell(4), "as they were made", marks=LONG),
    pytest.param(GRUCell(4), "as they were made", marks=LONG),
]


@pytest.mark.parametrize(("cell", "weights"), CASES)
def test_gradients_of_each_batch_are_those_of_one_device(cell, weights):
    layer = RNN(cell)
    variables, carry = layer.init(KEY, INPUTS[0]), layer.initialize_carry(KEY, (3, 5))
    given, axis = (variables, carry), None
    if weights == "one set a batch":
        given, axis = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf / 2]), given), 0

    def loss(given, inputs):
        return (layer.apply(given[0], inputs, initial_carry=given[1])[1] ** 2).sum()

    gradients = jax.vmap(jax.grad(loss), in_axes=(axis, 0))
    expected = gradients(given, INPUTS)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        spread = NamedSharding(mesh, PartitionSpec("data"))
        if weights != "as they were made":
            given = jax.device_put(given, spread if axis == 0 else NamedSharding(mesh, PartitionSpec()))
        got = jax.jit(gradients)(given, jax.device_put(INPUTS, spread))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, expected)

"""Dropout of inputs, hidden states and weights, and zoneout: what they do, step by step, and when they are off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.cells import LRUCell, LSTMCell, SimpleRNNCell
from rnnjax.layers.recurrence import RNN, StackedRNN
from tests.cell_cases import BATCH, FEATURES, OTHERS_LONG, STEPS, close, drawn_inputs, name_of, run_case

KEY = {"dropout": jax.random.key(5)}


def linear(features: int, **options):
    """A cell whose output is ``x W + h U``, with which masks can be read off."""
    return RNN(SimpleRNNCell(features, activation=lambda sums: sums), **options)


def with_kernels(input_kernel, recurrent_kernel):
    bias = jnp.zeros(len(recurrent_kernel))
    return {"params": {"cell": {"input_kernel": input_kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}}}


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("remat", [None, 5])
def test_recurrent_dropout_masks(variational, remat):
    """With U = 0.5 I and no inputs each step multiplies h by 0 or by 0.5 / (1 - rate) = 1, from which masks follow."""
    width, steps = 200, 20
    layer = linear(width, recurrent_dropout=0.5, variational=variational, remat=remat)
    params = with_kernels(jnp.zeros((1, width)), 0.5 * jnp.eye(width))
    start = jnp.ones((BATCH, width))
    run = jax.jit(
        lambda key: layer.apply(params, jnp.zeros((BATCH, steps, 1)), initial_carry=start, train=True, rngs=key)
    )
    outputs = np.asarray(run(KEY)[1])
    assert set(np.unique(outputs)) <= {0.0, 1.0}
    share = outputs.mean((0, 2))
    assert abs(share[0] - 0.5) < 0.1
    if variational:  # one mask for all steps: what survives the first step survives all
        assert (outputs == outputs[:, :1]).all()
    else:  # a fresh mask each step: half of the survivors are left after each
        assert abs(share[1] - 0.25) < 0.08 and abs(share[2] - 0.125) < 0.06 and share[15] == 0
    assert (outputs[0] != outputs[1]).any(), "rows must have masks of their own"
    other = np.asarray(run({"dropout": jax.random.key(6)})[1])
    assert (other != outputs).any() and (np.asarray(run(KEY)[1]) == outputs).all()


def test_weight_dropout_masks_the_recurrent_kernel_once():
    width, rate = 60, 0.25
    layer = linear(width, weight_dropout=rate)
    params = with_kernels(jnp.zeros((1, width)), jnp.ones((width, width)))
    start = jnp.tile(jnp.eye(width)[:, None], (1, BATCH, 1))  # one unit at a time reads one row of the kernel
    run = jax.jit(lambda c: layer.apply(params, jnp.zeros((width, BATCH, 1, 1)), initial_carry=c, train=True, rngs=KEY))
    kernel = np.asarray(run(start)[1])[:, :, 0]
    assert np.allclose(np.unique(kernel), [0, 1 / (1 - rate)])
    assert abs((kernel == 0).mean() - rate) < 0.03
    assert (kernel == kernel[:, :1]).all(), "all rows of a batch share the mask"
    two = layer.apply(params, jnp.zeros((1, 2, 1)), initial_carry=jnp.ones((1, width)), train=True, rngs=KEY)[1]
    np.testing.assert_allclose(two[0, 1], kernel[:, 0].sum(0) @ kernel[:, 0], rtol=1e-5)


@pytest.mark.parametrize("variational", [True, False])
def test_input_dropout_masks(variational):
    width = 100
    layer = linear(width, input_dropout=0.5, variational=variational)
    params = with_kernels(jnp.eye(width), jnp.zeros((width, width)))
    outputs = np.asarray(layer.apply(params, jnp.ones((BATCH, STEPS, width)), train=True, rngs=KEY)[1])
    assert set(np.unique(outputs)) == {0.0, 2.0} and abs(outputs.mean() - 1) < 0.15
    assert (outputs == outputs[:, :1]).all() == variational


@pytest.mark.parametrize("train", [True, False])
def test_zoneout_keeps_old_values(train):
    """From h = 0, a cell that says 1 at each step: kept units stay 0; without training, the expectation."""
    width, rate = 400, 0.3
    layer = linear(width, zoneout=rate)
    params = with_kernels(jnp.ones((1, width)), jnp.zeros((width, width)))
    run = lambda rngs: layer.apply(params, jnp.ones((BATCH, STEPS, 1)), train=train, rngs=rngs)  # noqa: E731
    last, outputs = run(KEY if train else None)
    expected = 1 - rate ** np.arange(1, STEPS + 1)
    if train:
        assert set(np.unique(outputs)) == {0.0, 1.0}
        assert np.abs(np.asarray(outputs).mean((0, 2)) - expected).max() < 0.05
        assert (np.diff(outputs, axis=1) >= 0).all()
    else:
        np.testing.assert_allclose(outputs, np.broadcast_to(expected[:, None], outputs.shape), rtol=1e-5)
    np.testing.assert_array_equal(last, outputs[:, -1])


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.float32])
def test_a_rate_of_zoneout_may_be_a_number_of_numpy(kind):
    """Without training, what is kept is the expectation, and not all."""
    params = with_kernels(jnp.ones((1, 2)), jnp.zeros((2, 2)))
    layer = linear(2, zoneout=kind(0.25), implementation="scan")
    _, outputs = layer.apply(params, jnp.ones((1, 3, 1)))
    np.testing.assert_allclose(outputs[0, :, 0], 1 - 0.25 ** np.arange(1, 4), rtol=1e-6)


def test_zoneout_has_a_rate_for_each_part_of_the_carry():
    """A rate for c alone leaves h to be computed from the cell's own new state."""
    layer, inputs = RNN(LSTMCell(FEATURES), zoneout=(0.5, 0.0)), drawn_inputs()
    params = jax.jit(layer.init)(jax.random.key(0), inputs)
    cell = {"params": params["params"]["cell"]}
    start = (jnp.full((BATCH, FEATURES), 0.7), jnp.zeros((BATCH, FEATURES)))
    (c, h), _ = layer.apply(params, inputs[:, :1], initial_carry=start, train=True, rngs=KEY)
    (new_c, new_h), _ = LSTMCell(FEATURES).apply(cell, start, inputs[:, 0])
    close(h, new_h, 1e-6)
    kept = np.isclose(c, 0.7)
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(c[~kept], new_c[~kept], rtol=1e-6)


@pytest.mark.parametrize("case", OTHERS_LONG, ids=name_of)
def test_dropout_is_off_without_train_and_changes_results_with_it(case):
    kinds = {"input_dropout": 0.4}
    if case.make().recurrent_shape is not None:
        kinds |= {"recurrent_dropout": 0.4, "weight_dropout": 0.4}
    params, inputs = case.params(), drawn_inputs()
    layer = case.rnn(**kinds)
    # Without a key, and the very program of the layer without dropout.
    programs = {str(jax.make_jaxpr(each.apply)(params, inputs)) for each in (layer, case.rnn())}
    assert len(programs) == 1
    plain = run_case(case, params, inputs)
    with_train = jax.jit(lambda p, x: case.rnn(**kinds, zoneout=0.2).apply(p, x, train=True, rngs=KEY))
    outputs = with_train(params, inputs)[1]
    assert np.isfinite(outputs).all()
    assert (np.abs(outputs - plain[1]) > 1e-4).any()


def test_dropout_between_layers_only():
    inputs = drawn_inputs()
    stack = StackedRNN([RNN(LSTMCell(FEATURES)), RNN(LSTMCell(FEATURES))], dropout=0.5)
    params = jax.jit(stack.init)(jax.random.key(0), inputs)
    (first, second), _ = jax.jit(lambda p: stack.apply(p, inputs, train=True, rngs=KEY))(params)
    (plain_first, plain_second), _ = jax.jit(lambda p: stack.apply(p, inputs))(params)
    close(first, plain_first, 1e-6)
    assert (np.abs(second[1] - plain_second[1]) > 1e-4).any()


@pytest.mark.parametrize("kind", ["recurrent_dropout", "weight_dropout"])
def test_a_cell_without_recurrent_kernel_refuses_its_dropout(kind):
    with pytest.raises(UsageError, match="LRUCell has no recurrent kernel"):
        jax.eval_shape(RNN(LRUCell(4), **{kind: 0.1}).init, jax.random.key(0), drawn_inputs())

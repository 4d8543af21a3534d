"""Batch norm over real steps: that of the real steps alone, on one device and on many."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.conv import SequenceConvStack
from rnnjax.layers.masked_norm import MaskedBatchNorm
from rnnjax.models.config import SequenceModel

LENGTHS = np.array([9, 2, 0, 5, 1, 1, 7, 3])
REAL = np.arange(9) < LENGTHS[:, None]


def drawn(*shape, mean=3.0):
    return np.random.default_rng(0).normal(mean, 2, shape).astype(np.float32)


def trained(norm, inputs, mask):
    """Outputs and running averages after one step."""
    variables = norm.init(jax.random.key(0), inputs, mask=mask)
    outputs, new = norm.apply(variables, inputs, mask=mask, mutable=["batch_stats"])
    return outputs, new["batch_stats"]


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_padding_weighs_nothing_whatever_stands_in_it(mean):
    inputs = drawn(8, 9, 4, mean=mean)
    dirty = np.where(REAL[..., None], inputs, np.nan)
    outputs, stats = trained(MaskedBatchNorm(False, momentum=0.9), dirty, REAL)
    wide = inputs[REAL].astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(np.asarray(outputs)[REAL], expected, atol=1e-5 + 1e-6 * mean)
    np.testing.assert_allclose(stats["mean"], 0.1 * wide.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * wide.var(0), rtol=1e-3)


def test_devices_with_unlike_numbers_of_steps_normalise_as_one_does():
    inputs = drawn(8, 9, 4)
    alone, stats = trained(MaskedBatchNorm(False), inputs, REAL)
    norm, devices = MaskedBatchNorm(False, axis_name="batch"), jax.devices()[:2]
    assert LENGTHS[:4].sum() != LENGTHS[4:].sum()
    run = jax.pmap(lambda x, m: trained(norm, x, m), axis_name="batch", devices=devices)
    spread, kept = run(inputs.reshape(2, 4, 9, 4), REAL.reshape(2, 4, 9))
    np.testing.assert_allclose(spread.reshape(inputs.shape), alone, atol=1e-5)
    for name in stats:
        np.testing.assert_allclose(kept[name], [stats[name]] * 2, atol=1e-5)


def test_so_do_gradients():
    """A device's part of them is of its own steps; together they are those of the whole batch."""
    inputs, weights = drawn(8, 9, 4), drawn(8, 9, 4, mean=0.0)

    def gradient(axis):
        norm = MaskedBatchNorm(False, axis_name=axis)

        def loss(x, mask, weight):
            variables = MaskedBatchNorm(False).init(jax.random.key(0), x, mask=mask)
            outputs, _ = norm.apply(variables, x, mask=mask, mutable=["batch_stats"])
            total = (jnp.where(mask[..., None], outputs * weight, 0) ** 2).sum()
            return total if axis is None else jax.lax.psum(total, axis)

        return jax.grad(loss)

    alone = gradient(None)(inputs, REAL, weights)
    parts = [array.reshape(2, 4, *array.shape[1:]) for array in (inputs, REAL, weights)]
    spread = jax.pmap(gradient("batch"), axis_name="batch", devices=jax.devices()[:2])(*parts)
    np.testing.assert_allclose(spread.reshape(alone.shape) / 2, alone, atol=1e-4)  # pmap sums the two equal losses


def test_attributes_mean_what_they_mean_in_flax():
    inputs = drawn(2, 5, 4)
    for options in ({"use_scale": False, "use_bias": False}, {"dtype": jnp.bfloat16}, {"epsilon": 0.1}):
        made = []
        for kind in (MaskedBatchNorm, nn.BatchNorm):
            norm = kind(False, **options)
            variables = norm.init(jax.random.key(0), inputs)
            made.append((norm.apply(variables, inputs, mutable=["batch_stats"])[0], variables))
        (ours, of_ours), (theirs, of_theirs) = made
        assert ours.dtype == theirs.dtype and jax.tree.structure(of_ours) == jax.tree.structure(of_theirs)
        np.testing.assert_allclose(
            ours.astype(np.float32), theirs.astype(np.float32), atol=2e-2 if "dtype" in options else 1e-5
        )
    with pytest.raises(UsageError, match="normalises the last axis"):
        MaskedBatchNorm(False, axis=1).init(jax.random.key(0), inputs)


def test_batch_norm_without_convolutions_is_refused():
    """It would have no effect, and nobody would be told."""
    with pytest.raises(UsageError, match=r"--model\.batch-norm must be left out where there are no convolutions"):
        SequenceModel(batch_norm=True)


def test_a_batch_without_a_real_step_changes_no_average():
    _, stats = trained(MaskedBatchNorm(False), drawn(2, 3, 4), np.zeros((2, 3), bool))
    np.testing.assert_array_equal(stats["mean"], np.zeros(4))
    np.testing.assert_array_equal(stats["var"], np.ones(4))


def test_outside_of_training_a_stack_is_torchs_batch_norm():
    torch = pytest.importorskip("torch")
    stack, inputs = SequenceConvStack((5,), 3, 1, batch_norm=True), drawn(2, 7, 4)
    mask, random = np.ones((2, 7), bool), np.random.default_rng(1)
    like = stack.init(jax.random.key(0), inputs, mask)
    variables = jax.tree.map(lambda leaf: random.uniform(0.2, 1, leaf.shape).astype(leaf.dtype), like)
    kernel = torch.tensor(np.array(variables["params"]["Conv_0"]["kernel"]).transpose(2, 1, 0))
    norm = {**variables["params"]["MaskedBatchNorm_0"], **variables["batch_stats"]["MaskedBatchNorm_0"]}
    of = {name: torch.tensor(np.array(value)) for name, value in norm.items()}
    made = torch.nn.functional.conv1d(torch.tensor(inputs.transpose(0, 2, 1)), kernel, padding="same")
    made = torch.nn.functional.batch_norm(made, of["mean"], of["var"], of["scale"], of["bias"]).relu()
    outputs, _ = stack.apply(variables, inputs, mask)
    np.testing.assert_allclose(outputs, made.numpy().transpose(0, 2, 1), rtol=1e-4, atol=1e-5)

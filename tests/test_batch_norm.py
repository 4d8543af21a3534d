"""Batch norm of inputs far from zero against NumPy in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.layers.conv import ConvStack


def stack(**options):
    """Batch norm and ReLU alone: behind a 1x1 convolution by one."""
    return ConvStack((1,), kernel_size=(1, 1), pool=1, batch_norm=True, **options)


def images(mean):
    """Of deviation 1, as float32 holds them; the two halves of the batch differ."""
    drawn = np.random.default_rng(0).normal(size=(16, 8, 8, 1))
    return (drawn + mean + np.repeat([0, 1], 8)[:, None, None, None]).astype(np.float32)


def normalised(given):
    wide = given.astype(np.float64)
    return np.maximum((wide - wide.mean()) / np.sqrt(wide.var() + 1e-5), 0)


def trained(model, given):
    """Outputs and running averages after one step; the kernel is 1."""
    variables = stack().init(jax.random.key(0), given)
    params = variables["params"] | {"Conv_0": {"kernel": jnp.ones((1, 1, 1, 1))}}
    outputs, new = model.apply(variables | {"params": params}, given, train=True, mutable=["batch_stats"])
    return outputs, new["batch_stats"]["BatchNorm_0"]


@pytest.mark.parametrize("mean", [0, 1e3, 1e4, 1e5])
@pytest.mark.optimized
def test_batch_norm_of_a_mean_far_from_zero(mean):
    """By the mean square less the squared mean, float32 errs by 0.5 at 1e3, and by a thousand at 1e4."""
    given = images(mean)
    outputs, statistics = jax.jit(lambda x: trained(stack(), x))(given)
    # Float32 tells apart what differs by 6e-8 of the numbers, and a sum of a thousand has errors of some times that.
    np.testing.assert_allclose(outputs, normalised(given), atol=1e-5 + 1e-6 * mean)
    wide = given.astype(np.float64)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * wide.var(), rtol=1e-3)
    np.testing.assert_allclose(statistics["mean"], 0.1 * wide.mean(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("mean", [0, 1e4])
@pytest.mark.optimized
def test_so_it_is_over_devices(mean):
    given = images(mean)
    model, devices = stack(axis_name="batch"), jax.devices()[:2]
    run = jax.pmap(lambda x: trained(model, x), axis_name="batch", devices=devices)
    outputs, statistics = run(given.reshape(2, 8, 8, 8, 1))
    np.testing.assert_allclose(outputs.reshape(given.shape), normalised(given), atol=1e-5 + 1e-6 * mean)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * given.astype(np.float64).var(), rtol=1e-3)

"""Losses, sums, norms and averages of half-precision numbers against float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnjax.config import OptimConfig
from rnnjax.tasks import losses, metrics
from rnnjax.training.optim import make_optimizer
from tests.toy import one_by_one, plain_images, plan, trained

HALVES = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
ROWS = 10_000


@HALVES
@pytest.mark.parametrize(("classes", "scale", "smoothing"), [(1, 40, 0.0), (5, 3, 0.1), (5, 40, 0.0), (1000, 1, 0.0)])
def test_the_loss_of_many_rows_is_that_of_float64(dtype, classes, scale, smoothing):
    rng = np.random.default_rng(0)
    rows = ROWS if classes < 100 else ROWS // 10
    logits = jnp.asarray(scale * rng.normal(size=(rows, classes)), dtype)
    labels = rng.integers(0, max(classes, 2), rows).astype(np.int32)
    exact = np.asarray(logits, np.float64)
    if classes == 1:
        exact = np.concatenate([np.zeros_like(exact), exact], -1)
    shifted = exact - exact.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    expected = -(1 - smoothing) * logs[np.arange(rows), labels] - smoothing * logs.mean(-1)

    each = losses.for_outputs(classes)(logits, jnp.asarray(labels), smoothing)
    assert each.dtype == jnp.float32
    np.testing.assert_allclose(each, expected, rtol=1e-5, atol=1e-5)
    total = metrics.sums(logits, jnp.asarray(labels), each, jnp.ones(rows, bool))
    np.testing.assert_allclose(total["loss"], expected.sum(), rtol=1e-5)
    assert total["loss"].dtype == jnp.float32
    assert int(total["weight"]) == rows
    assert int(total["correct"]) == (exact.argmax(-1) == labels).sum()


@HALVES
def test_half_precision_losses_are_summed_in_float32(dtype):
    each = jnp.full(ROWS, 11, dtype)  # together more than float16 holds, and than bfloat16 counts in elevens
    total = metrics.sums(jnp.zeros((ROWS, 2)), jnp.zeros(ROWS, int), each, jnp.ones(ROWS, bool))
    assert float(total["loss"]) == 11 * ROWS


@HALVES
def test_clipping_does_not_overflow(dtype):
    gradients = {"a": jnp.full((40, 40), 300, dtype), "b": jnp.full(7, -3, dtype)}
    config = OptimConfig(optimizer="sgd", momentum=0.0, learning_rate=1.0, schedule="constant", clip_norm=1.0)
    optimizer = make_optimizer(config, 1)
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    norm = np.sqrt(1600 * 300.0**2 + 7 * 9)
    for name, gradient in gradients.items():
        assert updates[name].dtype == dtype
        np.testing.assert_allclose(
            np.asarray(updates[name], np.float64), -np.asarray(gradient, np.float64) / norm, rtol=1e-2
        )


def test_clipping_in_float32_is_optaxs_to_the_bit():
    rng = np.random.default_rng(0)
    config = OptimConfig(optimizer="sgd", momentum=0.0, learning_rate=1.0, schedule="constant", clip_norm=1.0)
    ours, theirs = make_optimizer(config, 1), optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    for size in (0.01, 10):
        gradients = {"a": jnp.asarray(size * rng.normal(size=(5, 6)), jnp.float32), "b": jnp.float32([size, -size])}
        a, b = (o.update(gradients, o.init(gradients), gradients)[0] for o in (ours, theirs))
        jax.tree.map(np.testing.assert_array_equal, a, b)


class Half(nn.Module):
    """A linear model in half precision, with a count of its calls."""

    dtype: type = jnp.bfloat16

    @nn.compact
    def __call__(self, inputs, *, train=False):
        calls = self.variable("counts", "calls", lambda: jnp.zeros((), jnp.int32))
        if train and not self.is_initializing():
            calls.value += 1
        return nn.Dense(3, dtype=self.dtype, param_dtype=self.dtype)(inputs.reshape(len(inputs), -1))


@HALVES
def test_averages_are_kept_in_float32(dtype):
    """What a step adds to an average is less than a half-precision number's last digit."""
    optim = OptimConfig(optimizer="sgd", ema_decay=0.99, learning_rate=0.01, schedule="constant")
    program = plain_images(optim, model=Half(dtype))
    state = program.create_state(1)
    mean, steps = np.asarray(state.params["Dense_0"]["kernel"], np.float64), 0
    for chunk in one_by_one(plan(program)):
        state, _ = trained(program, state, [chunk])
        kept = min(0.99, (1 + steps) / (10 + steps))
        mean = kept * mean + (1 - kept) * np.asarray(state.params["Dense_0"]["kernel"], np.float64)
        steps += 1
    averaged = state.averaged["params"]["Dense_0"]["kernel"]
    assert averaged.dtype == np.float32
    assert np.isfinite(mean).all()
    np.testing.assert_allclose(averaged, mean, rtol=1e-5, atol=1e-7)
    assert int(state.averaged["counts"]["calls"]) == int(state.step) == steps
    used = state.variables()
    assert {leaf.dtype for leaf in jax.tree.leaves(used["params"])} == {np.dtype(dtype)}
    assert np.isfinite(program.evaluate(used, "validation")["loss"])

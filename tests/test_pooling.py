"""Pooling heads over real steps only, against NumPy row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.pooling import AttentionPool, pool

RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32) - 3  # below zero, so that padding would win a maximum
MASK = RANDOM.integers(0, 2, size=(2, 3, 5)).astype(bool)
MASK[0, 0], MASK[1, 1] = True, False


def by_row(function, mask):
    result = np.zeros((2, 3, 4), np.float32)
    for row in np.ndindex(2, 3):
        if mask[row].any():
            result[row] = function(OUTPUTS[row][mask[row]])
    return result


@pytest.mark.parametrize(
    ("kind", "function"), [("last", lambda y: y[-1]), ("mean", lambda y: y.mean(0)), ("max", lambda y: y.max(0))]
)
def test_pooling(kind, function):
    np.testing.assert_allclose(pool(OUTPUTS, MASK, kind), by_row(function, MASK), rtol=1e-5)
    everything = np.ones_like(MASK)
    np.testing.assert_allclose(pool(OUTPUTS, None, kind), by_row(function, everything), rtol=1e-5)
    with pytest.raises(UsageError, match="pooling must be one of"):
        pool(OUTPUTS, MASK, "median")


def test_attention():
    head = AttentionPool(7)
    params = jax.jit(head.init)(jax.random.key(0), OUTPUTS)
    p = params["params"]

    def attend(rows):
        scores = np.tanh(rows @ p["hidden"]["kernel"] + p["hidden"]["bias"]) @ p["query"]["kernel"][:, 0]
        weights = np.exp(scores) / np.exp(scores).sum()
        return weights @ rows

    run = jax.jit(head.apply)
    np.testing.assert_allclose(run(params, OUTPUTS, MASK), by_row(attend, MASK), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(params, OUTPUTS), by_row(attend, np.ones_like(MASK)), rtol=1e-4, atol=1e-5)
    # Padding, NaN included, changes neither value nor gradient; a row of padding alone has no NaN in it.
    dirty = np.where(MASK[..., None], OUTPUTS, np.nan)
    np.testing.assert_array_equal(run(params, dirty, MASK), run(params, OUTPUTS, MASK))
    gradient = jax.jit(jax.grad(lambda p, y: jnp.sin(head.apply(p, y, MASK)).sum(), argnums=(0, 1)))
    for ours, clean in zip(
        jax.tree.leaves(gradient(params, dirty)), jax.tree.leaves(gradient(params, OUTPUTS)), strict=True
    ):
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, clean)
    with pytest.raises(UsageError, match="features must be positive"):
        AttentionPool(0)

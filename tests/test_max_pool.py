"""Max pooling: numbers and gradients of Flax and PyTorch, also where pixels are equal."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from rnnjax.layers.max_pool import max_pool

RNG = np.random.default_rng(0)


def few_values(*shape, dtype=np.float32):
    """Images in which most windows have equal pixels."""
    return RNG.integers(-1, 2, shape).astype(dtype)


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (3, 7, 5, 2), (1, 2, 3, 1)])
@pytest.mark.parametrize("window", [1, 2])
def test_numbers_and_gradients_are_flaxs(shape, window):
    images = few_values(*shape)
    theirs = jax.vjp(lambda x: nn.max_pool(x, (window, window), (window, window)), images)
    ours = jax.vjp(lambda x: max_pool(x, window), images)
    np.testing.assert_array_equal(ours[0], theirs[0])
    cotangent = RNG.normal(size=ours[0].shape).astype(np.float32)
    np.testing.assert_array_equal(ours[1](cotangent)[0], theirs[1](cotangent)[0])


def test_a_window_of_three_is_torchs():
    torch = pytest.importorskip("torch")
    images = few_values(2, 10, 9, 3)
    cotangent = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)
    theirs = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    torch.nn.functional.max_pool2d(theirs, 3).backward(torch.tensor(cotangent.transpose(0, 3, 1, 2)))
    ours = jax.jit(lambda x, g: jax.vjp(lambda x: max_pool(x, 3), x)[1](g)[0])(images, cotangent)
    np.testing.assert_array_equal(ours, theirs.grad.numpy().transpose(0, 2, 3, 1))


@pytest.mark.optimized
def test_its_gradient_is_no_scatter_on_a_cpu():
    if jax.default_backend() != "cpu":
        pytest.skip("of the CPU's program")

    def scatters(pooling):
        gradient = jax.jit(jax.grad(lambda x: (pooling(x) ** 2).sum()))
        return " scatter(" in gradient.lower(few_values(2, 8, 8, 3)).compile().as_text()

    assert scatters(lambda x: nn.max_pool(x, (2, 2), (2, 2)))
    assert not scatters(lambda x: max_pool(x, 2))


def test_low_precision_stays_what_it_is():
    images = few_values(1, 4, 4, 2).astype(jax.numpy.bfloat16)
    assert jax.grad(lambda x: max_pool(x, 2).sum().astype(np.float32))(images).dtype == images.dtype

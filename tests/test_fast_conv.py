"""The first layer, the first kernels and the shapes of the fast stack."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.fast_conv import FastConvStack, Whitening, cosines, identity_like
from rnnjax.models.head import PooledHead
from rnnjax.models.image import ImageClassifier
from rnnjax.models.views import ViewedImageClassifier

IMAGES = np.random.default_rng(0).normal(size=(64, 9, 9, 3)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_cosines_are_orthonormal(channels):
    flat = cosines(channels).reshape(4 * channels, -1)
    np.testing.assert_allclose(flat.T @ flat, np.eye(4 * channels), atol=1e-6)
    with pytest.raises(UsageError, match="1 or 3 channels are whitened here, got 2"):
        cosines(2)


def test_what_is_whitened_has_variance_1_and_hardly_any_correlation():
    """Of images with the statistics of natural ones: neighbours and colours are alike."""
    smooth = np.cumsum(np.cumsum(IMAGES, 1), 2) * 0.1 + np.cumsum(IMAGES[..., :1], 1)
    layer = Whitening()
    variables = layer.init(jax.random.key(0), smooth)
    made, _ = layer.apply(variables, smooth, train=True, mutable=["batch_stats"])
    flat = np.asarray(made)[..., :12].reshape(-1, 12)
    np.testing.assert_allclose(flat.std(0), 1, atol=1e-2)
    np.testing.assert_allclose(np.asarray(made)[..., 12:], -np.asarray(made)[..., :12])
    before = np.abs(np.corrcoef(smooth.reshape(-1, 3).T)[np.triu_indices(3, 1)]).mean()
    after = np.abs(np.corrcoef(flat.T)[np.triu_indices(12, 1)]).mean()
    assert after < before / 3


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (5, 3), (4, 4)])
def test_a_kernel_begins_as_the_identity_of_its_first_channels(inputs, outputs):
    layer = nn.Conv(outputs, (3, 3), use_bias=False, kernel_init=identity_like())
    maps = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, inputs)), jnp.float32)
    made, same = layer.apply(layer.init(jax.random.key(0), maps), maps), min(inputs, outputs)
    np.testing.assert_allclose(made[..., :same], maps[..., :same], atol=1e-6)
    assert same == outputs or np.abs(made[..., same:]).max() > 0.05


def test_each_block_halves_and_small_images_are_refused():
    stack = FastConvStack((4, 6))
    variables = jax.jit(stack.init)(jax.random.key(0), IMAGES[:2, :8, :8])
    assert stack.apply(variables, IMAGES[:2, :8, :8]).shape == (2, 1, 1, 6)
    with pytest.raises(UsageError, match="images of 4 x 4 pixels cannot be halved 2 times"):
        stack.init(jax.random.key(0), IMAGES[:2, :4, :4])


def test_views_are_an_image_its_mirror_image_and_both_shifted():
    plain, viewed = (
        kind(None, PooledHead(3, ("mean", "max")), conv=FastConvStack((4,)))
        for kind in (ImageClassifier, ViewedImageClassifier)
    )
    images = IMAGES[:3, :8, :8]
    variables = jax.jit(plain.init)(jax.random.key(0), images)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    views = [images, images, padded[:, :8, :8], padded[:, 2:, 2:]]
    wanted = np.mean([plain.apply(variables, view[:, :, ::way]) for view in views for way in (1, -1)], 0)
    np.testing.assert_allclose(viewed.apply(variables, images), wanted, rtol=1e-5, atol=1e-6)
    trained = [model.apply(variables, images, train=True, mutable=["batch_stats"])[0] for model in (plain, viewed)]
    np.testing.assert_array_equal(*trained)

"""A stack of convolutions that learns CIFAR-10 in few epochs, after Jordan 2024 (arXiv:2404.00498).

What makes it fast is there: inputs are whitened by a first layer that is not trained, a kernel begins as the identity
of as many channels as there are, pooling is early, and batch norm has no scale. What whitens is not taken from patches
of the training images: their principal components are close to cosines of the three opponent colours (Hancock, Baddeley
and Smith 1992, "The principal components of natural images"), and batch norm gives each of these its variance of 1.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.layers.conv import convolution
from rnnjax.layers.max_pool import max_pool

Array = jax.Array

_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Brightness, red against blue, and green against both: orthonormal rows over red, green and blue."""


_DRAWN = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Of outputs that are no inputs' own; uniform up to the root of 1 / fan-in."""


def identity_like(base: Any = _DRAWN) -> Any:
    """An initializer of kernels ``[height, width, C_in, C_out]``: the first outputs are the inputs, others by ``base``.

    It is a Dirac kernel (Zagoruyko and Komodakis 2017, arXiv:1706.00388) for as many outputs as there are inputs.
    """

    def drawn(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        height, width, inputs, outputs = shape
        kernel, same = base(key, shape, dtype), min(inputs, outputs)
        passing = jnp.zeros((height, width, inputs, same), dtype)
        passing = passing.at[height // 2, width // 2].set(jnp.eye(inputs, same, dtype=dtype))
        return jnp.concatenate([passing, kernel[..., same:]], -1)

    return drawn


def cosines(channels: int) -> np.ndarray:
    """Orthonormal kernels ``[2, 2, channels, 4 * channels]``: sums and differences of four pixels, by colour.

    Raises:
      UsageError: if there is neither one channel nor three.
    """
    if channels not in (1, 3):
        raise UsageError(f"images of 1 or 3 channels are whitened here, got {channels}")
    colours = _COLOURS if channels == 3 else np.ones((1, 1))
    steps = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    made = np.einsum("ay,bx,kc->yxcabk", steps, steps, colours)
    return made.reshape(2, 2, channels, -1).astype(np.float32)


class Whitening(nn.Module):
    """Patches of 2 x 2 pixels by cosines, each of variance 1, and their negatives: ``[B, H - 1, W - 1, 8 * C]``.

    Attributes:
      axis_name: as of :class:`FastConvStack`.
      momentum: likewise.
    """

    axis_name: str | None = None
    momentum: float = 0.9

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, H, W, C]``."""
        kernel = jnp.asarray(cosines(images.shape[-1]), images.dtype)
        made = jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        made = _normed(self, made, train, use_bias=False)
        shift = self.param("bias", nn.initializers.zeros, (made.shape[-1],))
        made = made + shift
        return jnp.concatenate([made, -made], -1)


class FastConvStack(nn.Module):
    """Whitening, and then blocks of two 3 x 3 convolutions, the first of which is pooled.

    Attributes:
      features: channels of each block.
      momentum: of the running averages that batch norm uses outside of training, a step.
      axis_name: mapped axis over which batch norm's statistics are averaged in training; None for one device.
    """

    features: Sequence[int] = (64, 256, 256)
    momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, H, W, C]`` to ``[B, H / 2^n, W / 2^n, features[-1]]`` for n blocks, H even.

        Raises:
          UsageError: if the images are too small to be halved that often.
        """
        if min(images.shape[1:3]) - 1 < 2 ** len(self.features):
            raise UsageError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels cannot be halved {len(self.features)} times"
            )
        maps: Any = nn.gelu(Whitening(self.axis_name, self.momentum)(images, train=train))
        for channels in self.features:
            maps = max_pool(self._convolved(maps, channels), 2)
            maps = nn.gelu(_normed(self, maps, train))
            maps = nn.gelu(_normed(self, self._convolved(maps, channels), train))
        return maps

    def _convolved(self, maps: Array, channels: int) -> Array:
        return nn.Conv(
            channels,
            (3, 3),
            use_bias=False,
            kernel_init=identity_like(),
            conv_general_dilated=convolution,  # pyright: ignore[reportArgumentType]
        )(maps)


def _normed(module: Any, maps: Array, train: bool, *, use_bias: bool = True) -> Array:
    """Batch norm without a scale; initialising runs outside the mapped step, where the axis has no meaning."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=module.momentum,
        axis_name=None if module.is_initializing() else module.axis_name,
        use_scale=False,
        use_bias=use_bias,
        use_fast_variance=False,
    )(maps)

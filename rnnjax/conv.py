"""Stacks of convolutions, over images and over sequences, whose outputs a recurrence reads."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from rnnjax.errors import UsageError

Array = jax.Array


class ConvStack(nn.Module):
    """Convolution, optional batch norm, ReLU and max pooling, once per entry of ``features``.

    Attributes:
      features: channels of each convolution.
      kernel_size: height and width of the kernels, in pixels.
      pool: window and stride of the max pooling after each convolution; 1 pools nothing.
      batch_norm: normalise before each ReLU (Ioffe and Szegedy 2015, arXiv:1502.03167).
      axis_name: mapped axis over which batch norm's statistics are averaged in training, so that
        every device normalises by the whole batch; None for one device.
      dtype: dtype of the computation; None takes the inputs'.
    """

    features: Sequence[int]
    kernel_size: tuple[int, int] = (3, 3)
    pool: int = 2
    batch_norm: bool = False
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """``[B, height, width, C] -> [B, height / pool^n, width / pool^n, features[-1]]``.

        Raises:
          UsageError: if the images are not of that rank, or too small to be pooled that often.
        """
        if images.ndim != 4:
            raise UsageError(f"images must have shape [B, height, width, channels], got {images.shape}")
        if min(images.shape[1:3]) < self.pool ** len(self.features):
            raise UsageError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels cannot be pooled by {self.pool} "
                f"{len(self.features)} times; use fewer convolutions"
            )
        for channels in self.features:
            images = nn.Conv(channels, self.kernel_size, dtype=self.dtype, use_bias=not self.batch_norm)(images)
            if self.batch_norm:
                # Initialising runs outside the mapped step, where the axis has no meaning.
                axis = None if self.is_initializing() else self.axis_name
                images = nn.BatchNorm(use_running_average=not train, axis_name=axis, dtype=self.dtype)(images)
            images = nn.relu(images)
            if self.pool > 1:
                images = nn.max_pool(images, (self.pool, self.pool), (self.pool, self.pool))
        return images


def rows_as_sequence(maps: Array) -> Array:
    """Feature maps ``[B, height, width, C]`` as sequences of rows ``[B, height, width * C]``."""
    return jnp.reshape(maps, (*maps.shape[:2], -1))


class SequenceConv(nn.Module):
    """Convolution over time with zeros beyond the ends, as one product of ``nn.Conv``'s kernel with the steps it sees.

    XLA's CPU backend runs a convolution's gradient within ``lax.scan``, where the training step is, a hundred times
    slower than outside; a product does not suffer from that.

    Attributes:
      features: channels of the outputs.
      kernel_size: steps that a kernel sees; (kernel_size - 1) // 2 of them before the output's.
      dtype: dtype of the computation; None takes the inputs' and parameters'.
    """

    features: int
    kernel_size: int
    dtype: Any = None

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """``[B, T, D] -> [B, T, features]``."""
        size, steps, width = self.kernel_size, inputs.shape[1], inputs.shape[2]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (size, width, self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        before = (size - 1) // 2
        padded = jnp.pad(inputs, ((0, 0), (before, size - 1 - before), (0, 0)))
        seen = jnp.concatenate([padded[:, start : start + steps] for start in range(size)], axis=-1)
        return seen @ kernel.reshape(size * width, self.features) + bias


class SequenceConvStack(nn.Module):
    """Convolution over time, ReLU and max pooling over time, once per entry of ``features``.

    Padding has no part in it: it counts as the zeros that a convolution sees beyond a sequence's end,
    and never is a window's maximum.

    Attributes:
      features: channels of each convolution.
      kernel_size: steps that a kernel sees.
      pool: window and stride of the max pooling after each convolution, in steps; 1 pools nothing.
      dtype: dtype of the computation; None takes the inputs'.
    """

    features: Sequence[int]
    kernel_size: int = 5
    pool: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, inputs: Array, mask: Array) -> tuple[Array, Array]:
        """``[B, T, D]`` under ``mask [B, T]`` to ``[B, T', features[-1]]`` and its mask ``[B, T']``.

        T' is T divided by ``pool`` and rounded up, once a convolution; a window is real if a step in it is.
        """
        for channels in self.features:
            # `where`, not a product: what stands in the padding may be NaN.
            inputs = jnp.where(mask[..., None], inputs, 0)
            inputs = nn.relu(SequenceConv(channels, self.kernel_size, self.dtype)(inputs))
            # Zero is the least that ReLU gives, so it changes no maximum over a window with a real step.
            inputs = jnp.where(mask[..., None], inputs, 0)
            inputs, mask = _windows(inputs, self.pool).max(2), _windows(mask, self.pool).any(2)
        return inputs, mask


def _windows(steps: Array, size: int) -> Array:
    """``[B, T, ...] -> [B, T / size rounded up, size, ...]``, filled up with zeros."""
    missing = -steps.shape[1] % size
    filled = jnp.pad(steps, [(0, 0), (0, missing)] + [(0, 0)] * (steps.ndim - 2))
    return jnp.reshape(filled, (steps.shape[0], -1, size, *steps.shape[2:]))

"""Stacks of convolutions, over images and over sequences, whose outputs a recurrence reads."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rnnjax.errors import UsageError
from rnnjax.layers.masked_norm import MaskedBatchNorm
from rnnjax.layers.max_pool import max_pool

Array = jax.Array


class ConvStack(nn.Module):
    """Convolution, optional batch norm and ReLU, once per entry of ``features``, with max pooling between.

    Attributes:
      features: channels of each convolution.
      kernel_size: height and width of the kernels, in pixels.
      pool: window and stride of the max pooling; 1 pools nothing.
      convs_per_pool: pool after every this many convolutions; what is left over is not pooled.
      pool_early: pool after the first of so many convolutions instead of the last, and before batch norm
        and ReLU; the others then see a fourth of the pixels. The first of those left over is pooled too.
      batch_norm: normalise before each ReLU (Ioffe and Szegedy 2015, arXiv:1502.03167).
      momentum: of the running averages that batch norm uses outside of training, a step.
      axis_name: mapped axis over which batch norm's statistics are averaged in training, so that
        every device normalises by the whole batch; None for one device.
      dtype: dtype of the computation; None takes the inputs'.
    """

    features: Sequence[int]
    kernel_size: tuple[int, int] = (3, 3)
    pool: int = 2
    convs_per_pool: int = 1
    pool_early: bool = False
    batch_norm: bool = False
    momentum: float = 0.9
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """``[B, height, width, C] -> [B, height / pool^n, width / pool^n, features[-1]]`` for n poolings.

        Raises:
          UsageError: if the images are not of that rank, or too small to be pooled that often.
        """
        if images.ndim != 4:
            raise UsageError(f"images must have shape [B, height, width, channels], got {images.shape}")
        pooled = self._pooled()
        poolings = sum(pooled)
        if min(images.shape[1:3]) < self.pool**poolings:
            raise UsageError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels cannot be pooled by {self.pool} "
                f"{poolings} times; use fewer convolutions"
            )
        for channels, pools in zip(self.features, pooled, strict=True):
            images = nn.Conv(
                channels,
                self.kernel_size,
                dtype=self.dtype,
                use_bias=not self.batch_norm,
                conv_general_dilated=convolution,  # pyright: ignore[reportArgumentType]
            )(images)
            if pools and self.pool_early:
                images = max_pool(images, self.pool)
            images = nn.relu(self._norm(images, train))
            if pools and not self.pool_early:
                images = max_pool(images, self.pool)
        return images

    def _pooled(self) -> list[bool]:
        """Whether a convolution's outputs are pooled, for each."""
        place = 0 if self.pool_early else self.convs_per_pool - 1
        return [self.pool > 1 and number % self.convs_per_pool == place for number in range(len(self.features))]

    def _norm(self, images: Array, train: bool) -> Array:
        if not self.batch_norm:
            return images
        # Initialising runs outside the mapped step, where the axis has no meaning.
        axis = None if self.is_initializing() else self.axis_name
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            axis_name=axis,
            dtype=self.dtype,
            # The fast one is the mean square less the squared mean: of inputs far from zero nothing is left in float32.
            use_fast_variance=False,
        )
        return norm(images)


def rows_as_sequence(maps: Array) -> Array:
    """Feature maps ``[B, height, width, C]`` as sequences of rows ``[B, height, width * C]``."""
    return jnp.reshape(maps, (*maps.shape[:2], -1))


def sequence_as_rows(sequence: Array, width: int) -> Array:
    """The inverse: a sequence ``[B, height, width * C]`` as feature maps ``[B, height, width, C]``.

    Raises:
      UsageError: if the features of a step do not divide into ``width`` pixels.
    """
    if sequence.shape[-1] % width:
        raise UsageError(
            f"{sequence.shape[-1]} recurrent features do not divide into a row of {width} pixels; use a multiple"
        )
    return jnp.reshape(sequence, (*sequence.shape[:-1], width, -1))


def pixels_as_sequence(maps: Array) -> Array:
    """Feature maps ``[B, height, width, C]`` as sequences of pixels ``[B, height * width, C]``."""
    return jnp.reshape(maps, (maps.shape[0], -1, maps.shape[-1]))


def sequence_as_pixels(sequence: Array, width: int) -> Array:
    """The inverse: a sequence of pixels ``[B, height * width, C]`` as feature maps ``[B, height, width, C]``."""
    return jnp.reshape(sequence, (sequence.shape[0], -1, width, sequence.shape[-1]))


@jax.custom_vjp
def same_convolution(inputs: Array, kernel: Array) -> Array:
    """Convolution with zero padding to the same size: ``[B, *size, C]`` and ``[*window, C, D]`` to ``[B, *size, D]``.

    Its numbers are those of ``lax.conv_general_dilated``. Its gradients on CPU are put as products
    and as convolutions in the one layout for which XLA has a fast routine: inside a loop, such as the
    one over the steps of a compiled call, XLA does not find that layout by itself and is some fifty
    times slower (jax-ml/jax#12868).
    """
    return _convolve(inputs, kernel, _padding(kernel))


def _forward(inputs: Array, kernel: Array):
    return same_convolution(inputs, kernel), (inputs, kernel)


def _backward(saved: tuple[Array, Array], cotangent: Array):
    return lax.platform_dependent(*saved, cotangent, cpu=_gradients, default=_gradients_by_autodiff)


def _gradients(inputs: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
    padding, window = _padding(kernel), tuple(range(kernel.ndim - 2))
    # Of the inputs: the cotangent convolved with the kernel, turned around and its channels swapped.
    swapped = jnp.swapaxes(jnp.flip(kernel, window), -1, -2)
    of_inputs = _convolve(cotangent, swapped, [(after, before) for before, after in padding])
    return of_inputs, _kernel_gradient(inputs, cotangent, kernel)


def _kernel_gradient(inputs: Array, cotangent: Array, kernel: Array) -> Array:
    """One product for each place in the window; as one convolution, its window an image, it takes longer."""
    size, window = inputs.shape[1:-1], kernel.shape[:-2]
    padded = jnp.pad(inputs, [(0, 0), *_padding(kernel), (0, 0)])
    cotangents = jnp.reshape(cotangent, (-1, cotangent.shape[-1]))

    def at(place: tuple[int, ...]) -> Array:
        limits = [start + length for start, length in zip(place, size, strict=True)]
        met = lax.slice(padded, (0, *place, 0), (len(padded), *limits, padded.shape[-1]))
        return jnp.reshape(met, (-1, padded.shape[-1])).T @ cotangents

    return jnp.reshape(jnp.stack([at(place) for place in np.ndindex(window)]), kernel.shape)


def _gradients_by_autodiff(inputs: Array, kernel: Array, cotangent: Array) -> tuple[Array, Array]:
    return jax.vjp(lambda i, k: _convolve(i, k, _padding(k)), inputs, kernel)[1](cotangent)


same_convolution.defvjp(_forward, _backward)


def _convolve(inputs: Array, kernel: Array, padding: list[tuple[int, int]]) -> Array:
    window = kernel.ndim - 2
    size = "HWD"[:window]
    layout = (f"N{size}C", f"{size}IO", f"N{size}C")
    return lax.conv_general_dilated(inputs, kernel, (1,) * window, padding, dimension_numbers=layout)


def _padding(kernel: Array) -> list[tuple[int, int]]:
    """Zeros before and after along each axis; of an odd number, the larger part comes after."""
    return [((width - 1) // 2, width // 2) for width in kernel.shape[:-2]]


def convolution(inputs: Array, kernel: Array, strides: Any, padding: Any, **options: Any) -> Array:
    """What ``nn.Conv`` calls; here always with stride 1 and padding to the same size."""
    del strides, padding, options
    return same_convolution(inputs, kernel)


class SequenceConvStack(nn.Module):
    """Convolution over time, optional batch norm, ReLU and max pooling over time, once per entry of ``features``.

    Padding has no part in it: it counts as the zeros that a convolution sees beyond a sequence's end, is no step that
    batch norm counts, and never is a window's maximum.

    Attributes:
      features: channels of each convolution.
      kernel_size: steps that a kernel sees.
      pool: window and stride of the max pooling after each convolution, in steps; 1 pools nothing.
      dtype: dtype of the computation; None takes the inputs'.
      batch_norm: normalise before each ReLU, see :class:`rnnjax.layers.masked_norm.MaskedBatchNorm`.
      momentum: of the running averages that batch norm uses outside of training, a step.
      axis_name: mapped axis over which its statistics are taken in training; None for one device.
    """

    features: Sequence[int]
    kernel_size: int = 5
    pool: int = 4
    dtype: Any = None
    batch_norm: bool = False
    momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: Array, mask: Array, *, train: bool = False) -> tuple[Array, Array]:
        """``[B, T, D]`` under ``mask [B, T]`` to ``[B, T', features[-1]]`` and its mask ``[B, T']``.

        T' is T divided by ``pool`` and rounded up, once a convolution; a window is real if a step in it is.
        """
        for channels in self.features:
            # `where`, not a product: what stands in the padding may be NaN.
            inputs = jnp.where(mask[..., None], inputs, 0)
            inputs = nn.Conv(
                channels,
                (self.kernel_size,),
                dtype=self.dtype,
                use_bias=not self.batch_norm,
                conv_general_dilated=convolution,  # pyright: ignore[reportArgumentType]
            )(inputs)
            if self.batch_norm:
                norm = MaskedBatchNorm(not train, momentum=self.momentum, axis_name=self.axis_name)
                inputs = norm(inputs, mask=mask)
            inputs = nn.relu(inputs)
            # Zero is the least that ReLU gives, so it changes no maximum over a window with a real step.
            inputs = jnp.where(mask[..., None], inputs, 0)
            inputs, mask = _windows(inputs, self.pool).max(2), _windows(mask, self.pool).any(2)
        return inputs, mask


def _windows(steps: Array, size: int) -> Array:
    """``[B, T, ...] -> [B, T / size rounded up, size, ...]``, filled up with zeros."""
    count = -(-steps.shape[1] // size)  # said in full: of a symbolic T, reshape cannot tell what -1 would be
    filled = jnp.pad(steps, [(0, 0), (0, count * size - steps.shape[1])] + [(0, 0)] * (steps.ndim - 2))
    return jnp.reshape(filled, (steps.shape[0], count, size, *steps.shape[2:]))

"""Augmentation on the device, inside the compiled step.

The random key of an example is made of the run's key, the epoch and the example's number. So what
an example looks like in an epoch depends neither on the batch it is in nor on the devices.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from rnnjax.errors import UsageError

if TYPE_CHECKING:
    from rnnjax.data.images import ImageData

Array = jax.Array
Augment = Callable[[Array, Mapping[str, Array]], dict[str, Array]]
"""Keys ``[B]`` and a batch's stored arrays ``[B, ...]`` to arrays of the same shapes and dtypes; or, of recordings, to
the features that the preprocessing would make of them.
"""

Operation = Callable[[Array, Array], Array]
"""Keys ``[B]`` and images ``[B, height, width, C]`` to images of the same shape and dtype."""


def example_keys(key: Array, epoch: Array, ids: Array) -> Array:
    """One key an example: keys ``[B]`` for example numbers ``ids [B]`` in an epoch."""
    key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)


def augmented(augment: Augment, key: Array, epoch: Array, ids: Array, batch: Mapping[str, Array]) -> dict[str, Array]:
    """A batch of examples of these numbers as an augmentation makes it in an epoch, by the run's key."""
    if isinstance(augment, Alternating):
        batch = augment.turned(example_keys(key, jnp.zeros_like(epoch), ids), epoch, batch)
    return augment(example_keys(key, epoch, ids), batch)


@dataclass(frozen=True)
class Alternating:
    """Images that are mirrored in every other epoch, and what else they undergo.

    Which half of them are mirrored in the first epoch is drawn; so two epochs in a row show both sides of each (Jordan
    2024, arXiv:2404.00498, section 3.6).
    """

    rest: Augment

    def turned(self, keys: Array, epoch: Array, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The batch with those mirrored whose turn it is, by keys ``[B]`` that are the same in every epoch."""
        turn = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 4)))(keys) ^ (epoch % 2 == 1)
        images = batch["inputs"]
        return {**batch, "inputs": jnp.where(turn[:, None, None, None], images[:, :, ::-1], images)}

    def __call__(self, keys: Array, batch: Mapping[str, Array]) -> dict[str, Array]:
        """What else they undergo."""
        return self.rest(keys, batch)


def image_augmentation(config: "ImageData", mean: Sequence[float]) -> Augment | None:
    """What training images undergo, in this order: flip, warp, shift, cutout; None where that is nothing.

    Args:
      config: says how much of each.
      mean: of each channel, of pixels scaled to 0..1, which :func:`random_cutout` fills with.
    """
    warp = {"max_rotation": config.max_rotation, "max_zoom": config.max_zoom, "elastic": config.elastic}
    warped = functools.partial(random_warp, elastic_sigma=config.elastic_sigma, padding=config.shift_padding, **warp)
    # By the number of its key, so that no operation's place here changes what another draws.
    operations = {
        0: random_flip() if config.flip else None,
        3: warped() if any(warp.values()) else None,
        1: random_shift(config.max_shift, config.shift_padding) if config.max_shift else None,
        2: random_cutout(config.cutout, mean) if config.cutout else None,
    }
    chosen = {number: operation for number, operation in operations.items() if operation is not None}
    if not chosen and not config.alternate_flip:
        return None

    def augment(keys: Array, batch: Mapping[str, Array]) -> dict[str, Array]:
        images = batch["inputs"]
        for number, operation in chosen.items():
            # Each draws from keys of its own, whichever of the others are there.
            images = operation(jax.vmap(jax.random.fold_in, (0, None))(keys, number), images)
        return {**batch, "inputs": images}

    return Alternating(augment) if config.alternate_flip else augment


def random_shift(most: int, padding: str = "zeros") -> Operation:
    """Shifts each image by up to ``most`` pixels in both directions; what moves in is zeros or a reflection.

    It is the random crop of an image padded by ``most`` pixels, as is usual for CIFAR (He et al. 2016,
    arXiv:1512.03385, section 4.2).

    Raises:
      UsageError: if an image is too small to be reflected that far; a reflection leaves out the border itself.
    """
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]

    def shift_one(key: Array, image: Array) -> Array:
        if mode == "reflect" and most >= min(image.shape[:2]):
            raise UsageError(f"images of {image.shape[0]} x {image.shape[1]} pixels cannot be reflected by {most}")
        offsets = jax.random.randint(key, (2,), 0, 2 * most + 1)
        padded = jnp.pad(image, ((most, most), (most, most), (0, 0)), mode)
        return jax.lax.dynamic_slice(padded, (offsets[0], offsets[1], 0), image.shape)

    return jax.vmap(shift_one)


def random_warp(
    *,
    max_rotation: float = 0.0,
    max_zoom: float = 0.0,
    elastic: float = 0.0,
    elastic_sigma: float = 4.0,
    padding: str = "zeros",
) -> Operation:
    """Turns each image and scales it, both about its centre, and distorts it like rubber, by one interpolation.

    The distortion is that of Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks
    applied to visual document analysis", section 2, with its strength in pixels.

    Args:
      max_rotation: in degrees, either way.
      max_zoom: the scale is between ``1 - max_zoom`` and ``1 + max_zoom``, for height and width alike.
      elastic: standard deviation of each pixel's displacement in either direction, in pixels.
      elastic_sigma: standard deviation in pixels of the Gaussian by which displacements are smoothed.
      padding: what is seen beyond the border: zeros, or a reflection that leaves out the border itself.
    """

    def warp_one(key: Array, image: Array) -> Array:
        angle, zoom = jax.random.uniform(key, (2,), minval=-1.0)
        height, width, _ = image.shape
        noise = smooth_noise(jax.random.fold_in(key, 1), (height, width), elastic_sigma) if elastic else 0.0
        return warp(
            image,
            angle=jnp.deg2rad(max_rotation) * angle,
            zoom=1 + max_zoom * zoom,
            displacement=elastic * noise,
            padding=padding,
        )

    return jax.vmap(warp_one)


def smooth_noise(key: Array, size: tuple[int, int], sigma: float) -> Array:
    """Normal noise ``[2, height, width]`` that a Gaussian of width ``sigma`` pixels has smoothed, of variance 1.

    Two pixels at distance ``d`` have correlation ``exp(-d² / (4 sigma²))``: a Gaussian convolved with itself. The
    noise starts beyond the border, so that this holds at the border too.
    """
    reach = math.ceil(3 * sigma)
    height, width = (_smoothing(pixels, reach, sigma) for pixels in size)
    noise = jax.random.normal(key, (2, height.shape[1], width.shape[1]))
    return jnp.einsum("yi,aij,xj->ayx", height, noise, width)


def _smoothing(pixels: int, reach: int, sigma: float) -> np.ndarray:
    """Weights ``[pixels, pixels + 2 reach]`` of a Gaussian about each pixel, each row of length 1."""
    distance = np.arange(pixels + 2 * reach) - reach - np.arange(pixels)[:, None]
    weights = np.where(np.abs(distance) <= reach, np.exp(-((distance / sigma) ** 2) / 2), 0)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def warp(
    image: Array, *, angle: Array | float, zoom: Array | float, displacement: Array | float, padding: str = "zeros"
) -> Array:
    """An image ``[height, width, C]`` turned counter-clockwise by ``angle`` radians and ``zoom`` times as large.

    A pixel is interpolated linearly between the four about the point that it came from, which ``displacement``
    (``[2, height, width]``, in pixels down and right) has moved; it is rounded where pixels are integers.
    """
    height, width = image.shape[:2]
    centre = (height - 1) / 2, (width - 1) / 2
    down, right = jnp.arange(height)[:, None] - centre[0], jnp.arange(width) - centre[1]
    sine, cosine = jnp.sin(angle) / zoom, jnp.cos(angle) / zoom
    came_from = jnp.stack([cosine * down + sine * right + centre[0], cosine * right - sine * down + centre[1]])
    came_from = list(came_from + displacement)
    mode = {"zeros": "constant", "reflect": "mirror"}[padding]

    def warped(channel: Array) -> Array:
        return map_coordinates(channel.astype(jnp.float32), came_from, order=1, mode=mode)

    pixels = jax.vmap(warped, in_axes=-1, out_axes=-1)(image)
    return (jnp.round(pixels) if jnp.issubdtype(image.dtype, jnp.integer) else pixels).astype(image.dtype)


def random_flip() -> Operation:
    """Mirrors each image left to right with probability 1/2."""
    return jax.vmap(lambda key, image: jnp.where(jax.random.bernoulli(key), image[:, ::-1], image))


def random_cutout(size: int, mean: Sequence[float]) -> Operation:
    """Sets a square of each image to the training mean (DeVries and Taylor 2017, arXiv:1708.04552).

    Its centre is any pixel with the same probability, so that the square may reach over the border.

    Args:
      size: side of the square in pixels.
      mean: of each channel, of pixels scaled to 0..1.
    """

    def cut_one(key: Array, image: Array) -> Array:
        integers = jnp.issubdtype(image.dtype, jnp.integer)
        fill = (np.round(np.multiply(mean, 255)) if integers else np.asarray(mean)).astype(image.dtype)
        height, width = image.shape[:2]
        first = jax.random.randint(key, (2,), 0, np.array([height, width])) - size // 2
        down, right = jnp.arange(height) - first[0], jnp.arange(width) - first[1]
        inside = ((down >= 0) & (down < size))[:, None] & ((right >= 0) & (right < size))
        return jnp.where(inside[..., None], fill, image)

    return jax.vmap(cut_one)

"""Augmentation on the device, inside the compiled step.

The random key of an example is made of the run's key, the epoch and the example's number. So what
an example looks like in an epoch depends neither on the batch it is in nor on the devices.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from rnnjax.errors import UsageError

Array = jax.Array
Augment = Callable[[Array, Array], Array]
"""Keys ``[B]`` and stored inputs ``[B, ...]`` to inputs of the same shape and dtype."""


def example_keys(key: Array, epoch: Array, ids: Array) -> Array:
    """One key an example: keys ``[B]`` for example numbers ``ids [B]`` in an epoch."""
    key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)


def image_augmentation(
    *,
    max_shift: int = 0,
    shift_padding: str = "zeros",
    max_rotation: float = 0.0,
    max_zoom: float = 0.0,
    flip: bool = False,
    cutout: int = 0,
    mean: Sequence[float] = (),
) -> Augment | None:
    """What training images undergo, in this order: flip, rotation and zoom, shift, cutout; None where that is nothing.

    Args:
      max_shift, shift_padding: of :func:`random_shift`; the padding is of :func:`random_rotation_and_zoom` too.
      max_rotation, max_zoom: of :func:`random_rotation_and_zoom`.
      flip: whether of :func:`random_flip`.
      cutout, mean: of :func:`random_cutout`.
    """
    turned = bool(max_rotation or max_zoom)
    # By the number of its key, so that no operation's place here changes what another draws.
    operations = {
        0: random_flip() if flip else None,
        3: random_rotation_and_zoom(max_rotation, max_zoom, shift_padding) if turned else None,
        1: random_shift(max_shift, shift_padding) if max_shift else None,
        2: random_cutout(cutout, mean) if cutout else None,
    }
    chosen = {number: operation for number, operation in operations.items() if operation is not None}
    if not chosen:
        return None

    def augment(keys: Array, images: Array) -> Array:
        for number, operation in chosen.items():
            # Each draws from keys of its own, whichever of the others are there.
            images = operation(jax.vmap(jax.random.fold_in, (0, None))(keys, number), images)
        return images

    return augment


def random_shift(most: int, padding: str = "zeros") -> Augment:
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


def random_rotation_and_zoom(max_rotation: float, max_zoom: float, padding: str = "zeros") -> Augment:
    """Turns each image by up to ``max_rotation`` degrees either way and scales it, both about its centre.

    Args:
      max_rotation: in degrees.
      max_zoom: the scale is between ``1 - max_zoom`` and ``1 + max_zoom``, for height and width alike.
      padding: what is seen beyond the border: zeros, or a reflection that leaves out the border itself.
    """

    def turn_one(key: Array, image: Array) -> Array:
        angle, zoom = jax.random.uniform(key, (2,), minval=-1.0)
        return rotate_and_zoom(image, jnp.deg2rad(max_rotation) * angle, 1 + max_zoom * zoom, padding)

    return jax.vmap(turn_one)


def rotate_and_zoom(image: Array, angle: Array, zoom: Array, padding: str = "zeros") -> Array:
    """An image ``[height, width, C]`` turned counter-clockwise by ``angle`` radians and ``zoom`` times as large.

    A pixel is interpolated linearly between the four that it came from, and rounded where pixels are integers.
    """
    height, width = image.shape[:2]
    centre = (height - 1) / 2, (width - 1) / 2
    down, right = jnp.arange(height)[:, None] - centre[0], jnp.arange(width) - centre[1]
    sine, cosine = jnp.sin(angle) / zoom, jnp.cos(angle) / zoom
    came_from = (cosine * down + sine * right + centre[0], cosine * right - sine * down + centre[1])
    mode = {"zeros": "constant", "reflect": "mirror"}[padding]

    def turned(channel: Array) -> Array:
        return map_coordinates(channel.astype(jnp.float32), came_from, order=1, mode=mode)

    pixels = jax.vmap(turned, in_axes=-1, out_axes=-1)(image)
    return (jnp.round(pixels) if jnp.issubdtype(image.dtype, jnp.integer) else pixels).astype(image.dtype)


def random_flip() -> Augment:
    """Mirrors each image left to right with probability 1/2."""
    return jax.vmap(lambda key, image: jnp.where(jax.random.bernoulli(key), image[:, ::-1], image))


def random_cutout(size: int, mean: Sequence[float]) -> Augment:
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

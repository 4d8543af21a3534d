"""Augmentation on the device, inside the compiled step.

The random key of an example is made of the run's key, the epoch and the example's number. So what
an example looks like in an epoch depends neither on the batch it is in nor on the devices.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.errors import UsageError

Array = jax.Array
Augment = Callable[[Array, Array], Array]
"""Keys ``[B]`` and stored inputs ``[B, ...]`` to inputs of the same shape and dtype."""


def example_keys(key: Array, epoch: Array, ids: Array) -> Array:
    """One key an example: keys ``[B]`` for example numbers ``ids [B]`` in an epoch."""
    key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)


def image_augmentation(
    *, max_shift: int = 0, shift_padding: str = "zeros", flip: bool = False, cutout: int = 0, mean: Sequence[float] = ()
) -> Augment | None:
    """What training images undergo, in this order: flip, shift, cutout; None where that is nothing.

    Args:
      max_shift, shift_padding: of :func:`random_shift`.
      flip: whether of :func:`random_flip`.
      cutout, mean: of :func:`random_cutout`.
    """
    operations = {
        0: random_flip() if flip else None,
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

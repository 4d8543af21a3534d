"""Augmentation on the device, inside the compiled step.

The random key of an example is made of the run's key, the epoch and the example's number. So what
an example looks like in an epoch depends neither on the batch it is in nor on the devices.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Augment = Callable[[Array, Array], Array]
"""Keys ``[B]`` and stored inputs ``[B, ...]`` to inputs of the same shape and dtype."""


def example_keys(key: Array, epoch: Array, ids: Array) -> Array:
    """One key an example: keys ``[B]`` for example numbers ``ids [B]`` in an epoch."""
    key = jax.random.fold_in(key, epoch)
    return jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)


def random_shift(most: int) -> Augment:
    """Shifts each image by up to ``most`` pixels in both directions; zeros move in."""

    def shift_one(key: Array, image: Array) -> Array:
        offsets = jax.random.randint(key, (2,), 0, 2 * most + 1)
        padded = jnp.pad(image, ((most, most), (most, most), (0, 0)))
        return jax.lax.dynamic_slice(padded, (offsets[0], offsets[1], 0), image.shape)

    return jax.vmap(shift_one)

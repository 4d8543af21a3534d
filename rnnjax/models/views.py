"""Images classified by the mean over several views of each."""

import jax
import jax.numpy as jnp

from rnnjax.models.image import MirroredImageClassifier

Array = jax.Array


class ViewedImageClassifier(MirroredImageClassifier):
    """A :class:`MirroredImageClassifier` that also sees each image shifted, up and left, and down and right.

    Except in training, the logits of the image itself count twice (Jordan 2024, arXiv:2404.00498, section 3.5); what
    moves in is a reflection.

    Attributes:
      shift: in pixels.
    """

    shift: int = 1

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, height, width, C]`` to logits ``[B, outputs]``."""
        logits = super().__call__(inputs, train=train)
        if train or self.is_initializing():
            return logits
        height, width = inputs.shape[1:3]
        around = (self.shift, self.shift)
        padded = jnp.pad(inputs, ((0, 0), around, around, (0, 0)), "reflect")
        for begin in (0, 2 * self.shift):
            logits += super().__call__(padded[:, begin : begin + height, begin : begin + width]) / 2
        return logits / 2

"""Images swept by recurrences from all four sides, in place of convolutions: ReNet.

Visin et al. 2015 (arXiv:1505.00393).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from rnnjax.errors import UsageError

Array = jax.Array


class Sweep(nn.Module):
    """Reads each column of patches down and up, and then each row of what came out to the right and to the left.

    Every output has seen its whole column and, through the others of its row, the whole image.

    Attributes:
      vertical, horizontal: layers that are called as ``layer(inputs, train=train)`` and give a carry and outputs, such
        as a :class:`rnnjax.Bidirectional`.
      patch: side of the patches, in pixels; a patch's values are one step's.
    """

    vertical: nn.Module
    horizontal: nn.Module
    patch: int = 1

    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """``[B, height, width, C]`` to ``[B, height / patch, width / patch, outputs of the horizontal layer]``.

        Raises:
          UsageError: if patches do not divide the image.
        """
        maps = _patches(images, self.patch)
        columns = maps.swapaxes(1, 2)
        down = _along(self.vertical, columns, train).swapaxes(1, 2)
        return _along(self.horizontal, down, train)


class SweepStack(nn.Module):
    """Sweeps one after the other, with dropout behind each.

    Attributes:
      sweeps: :class:`Sweep` layers.
      dropout: rate of dropout.
    """

    sweeps: Sequence[Sweep]
    dropout: float = 0.0

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """``[B, height, width, C]`` to the outputs of the last sweep."""
        for sweep in self.sweeps:
            images = nn.Dropout(self.dropout)(sweep(images, train=train), deterministic=not train)
        return images


def _along(layer: nn.Module, lines: Array, train: bool) -> Array:
    """The outputs of a layer for each line by itself: ``[B, lines, steps, D]``."""
    batch, count = lines.shape[:2]
    _, outputs = layer(lines.reshape(batch * count, *lines.shape[2:]), train=train)
    return outputs.reshape(batch, count, *outputs.shape[1:])


def _patches(images: Array, side: int) -> Array:
    """``[B, height, width, C]`` to ``[B, height / side, width / side, side * side * C]``."""
    batch, height, width, channels = images.shape
    if height % side or width % side:
        raise UsageError(f"patches of {side} x {side} do not divide images of {height} x {width}")
    split = images.reshape(batch, height // side, side, width // side, side, channels).swapaxes(2, 3)
    return split.reshape(batch, height // side, width // side, -1)

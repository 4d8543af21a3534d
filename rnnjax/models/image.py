"""Images, or feature maps of them, read row by row or pixel by pixel."""

from typing import ClassVar

import flax.linen as nn
import jax

from rnnjax.layers.conv import pixels_as_sequence, rows_as_sequence, sequence_as_pixels, sequence_as_rows
from rnnjax.layers.movable import movable
from rnnjax.layers.precision import matmul_precision
from rnnjax.models.head import PooledHead, backward_features

Array = jax.Array


class ImageClassifier(nn.Module):
    """Reads an image, or a conv stack's feature maps of it, row by row or pixel by pixel.

    Attributes:
      recurrent: an RNN, Bidirectional or StackedRNN over the rows or pixels; None: the head pools the feature
        maps over all pixels.
      head: to logits, from the outputs over rows, or from feature maps over pixels.
      conv: what comes before the recurrence, or None.
      conv_after: convolutions of its outputs, read as rows or pixels of feature maps again, or None.
      read_by: ``rows``: a step sees a row with all its pixels; ``pixels``: it sees one pixel, from left to right
        and then from above to below.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    recurrent: nn.Module | None
    head: PooledHead
    conv: nn.Module | None = None
    conv_after: nn.Module | None = None
    read_by: str = "rows"
    precision: str = "default"

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, height, width, C]`` to logits ``[B, outputs]``."""
        with matmul_precision(self.precision):
            return self._logits(inputs, train)

    def _logits(self, inputs: Array, train: bool) -> Array:
        inputs = movable(self, "images", inputs)
        if self.conv is not None:
            inputs = self.conv(inputs, train=train)
        if self.recurrent is None:
            return self.head(pixels_as_sequence(inputs), None, train=train)
        by_rows = self.read_by == "rows"
        _, outputs = self.recurrent(rows_as_sequence(inputs) if by_rows else pixels_as_sequence(inputs), train=train)
        if self.conv_after is not None:
            width = inputs.shape[2]
            maps = sequence_as_rows(outputs, width) if by_rows else sequence_as_pixels(outputs, width)
            outputs = pixels_as_sequence(self.conv_after(maps, train=train))
            return self.head(outputs, None, train=train)
        return self.head(outputs, None, train=train, backward=backward_features(self.head, self.recurrent))


class MirroredImageClassifier(ImageClassifier):
    """An :class:`ImageClassifier` whose logits, except in training, are the mean of those of an image and of its mirror
    image, left to right (among what Krizhevsky et al. 2012, section 4.1, average over).
    """

    mirrors: ClassVar[bool] = True
    """Whether it answers to mirror images: pixels in another order have none."""

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """Normalised images ``[B, height, width, C]`` to logits ``[B, outputs]``."""
        logits = super().__call__(inputs, train=train)
        if train or self.is_initializing():
            return logits
        return (logits + super().__call__(inputs[:, :, ::-1], train=train)) / 2

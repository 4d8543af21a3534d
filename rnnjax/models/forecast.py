"""From a window of a series to the rows after it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.layers.precision import matmul_precision

Array = jax.Array


class SegmentForecaster(nn.Module):
    """A recurrence over segments, which answers all segments ahead at once: SegRNN (Lin et al. 2023, arXiv:2308.11200).

    Each column is read by itself, by weights that all columns share. Of its window the last value is subtracted, and
    added to the forecast again. Segments of ``segment`` rows are projected to the recurrent features, with ReLU, and
    read one after the other. From the last carry the same cell makes one step for each segment ahead, all at once; the
    input of each is an embedding of its position and one of the column, half of the features each. A dense layer makes
    the segment's rows of what comes out.

    A window that segments do not divide begins with its first row repeated; what a last segment has beyond the horizon
    is left out.

    Attributes:
      recurrent: an :class:`rnnjax.RNN` of ``features`` features; it is called for both readings, with one set of
        weights.
      features: of the recurrence, even.
      segment: rows of a segment.
      horizon: rows ahead.
      quantiles: numbers a row and column; 0: one, without an axis of its own.
      dropout: rate of dropout before the outputs.
      precision: of float32 products on accelerators, see :func:`rnnjax.layers.precision.matmul_precision`.
    """

    recurrent: nn.Module
    features: int
    segment: int
    horizon: int
    quantiles: int = 0
    dropout: float = 0.0
    precision: str = "default"

    def __call__(self, inputs: Array, *, train: bool = False) -> Array:
        """``[B, L, C]`` to ``[B, H, C]``, or to ``[B, H, C, Q]`` with quantiles; float32 or wider."""
        with matmul_precision(self.precision):
            return self._forecast(inputs, train)

    @nn.compact
    def _forecast(self, inputs: Array, train: bool) -> Array:
        rows, _, columns = inputs.shape
        last = inputs[:, -1:]
        segments = self._segments(jnp.swapaxes(inputs - last, 1, 2))  # [B, C, n, segment]
        read = nn.relu(nn.Dense(self.features, name="segments")(segments))
        carry, _ = self.recurrent(read.reshape(rows * columns, -1, self.features), train=train)
        ahead = -(-self.horizon // self.segment)
        asked = self._embeddings(ahead, columns)  # [C, m, features]
        asked = jnp.broadcast_to(asked, (rows, *asked.shape)).reshape(-1, 1, self.features)
        carry = jax.tree.map(lambda part: jnp.repeat(part, ahead, axis=0), carry)
        _, outputs = self.recurrent(asked, initial_carry=carry, train=train)
        outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))[:, 0]
        outputs = nn.Dropout(self.dropout)(outputs, deterministic=not train)
        numbers = max(self.quantiles, 1)
        made = nn.Dense(self.segment * numbers, name="head")(outputs)
        made = made.reshape(rows, columns, ahead * self.segment, numbers)[:, :, : self.horizon]
        made = jnp.swapaxes(made, 1, 2) + last[..., None]
        return made if self.quantiles else made[..., 0]

    def _segments(self, series: Array) -> Array:
        """``[B, C, L]`` in segments ``[B, C, n, segment]``."""
        missing = -series.shape[2] % self.segment
        series = jnp.pad(series, ((0, 0), (0, 0), (missing, 0)), mode="edge")
        return series.reshape(*series.shape[:2], -1, self.segment)

    def _embeddings(self, ahead: int, columns: int) -> Array:
        """What each segment ahead of each column is asked with, ``[C, m, features]``."""
        init = nn.initializers.normal(1.0)
        position = self.param("position", init, (ahead, self.features // 2))
        column = self.param("column", init, (columns, self.features // 2))
        shape = (columns, ahead, self.features // 2)
        parts = jnp.broadcast_to(position, shape), jnp.broadcast_to(column[:, None], shape)
        return jnp.concatenate(parts, -1)

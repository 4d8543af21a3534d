"""Windows into a series, which are cut out when a step asks for them: a series is held once, not once a window."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from rnnjax import digests


@functools.partial(jax.tree_util.register_dataclass, data_fields=["series", "starts"], meta_fields=["steps"])
@dataclass(frozen=True)
class SeriesWindows:
    """Stands where an array ``[N, steps, C]`` would stand, on the host and on a device alike.

    It is a tree of JAX's with two leaves, so that what lives on a device is the series and a number a window.

    Attributes:
      series: ``[T, C]``.
      starts: ``[N]`` int32, the row of the series that each window begins with.
      steps: rows of a window.
    """

    series: Any
    starts: Any
    steps: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all windows together."""
        return (self.starts.shape[0], self.steps, *self.series.shape[1:])

    @property
    def dtype(self) -> Any:
        return self.series.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What is held, which the windows share."""
        return self.series.nbytes + self.starts.nbytes

    def __len__(self) -> int:
        return self.starts.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        """The windows at ``rows``, given as NumPy takes them: ``[..., steps, C]``."""
        return self.series[self.starts[rows][..., None] + np.arange(self.steps, dtype=np.int32)]

    def select(self, rows: np.ndarray) -> "SeriesWindows":
        """The windows at ``rows``, in that order, still uncut."""
        return dataclasses.replace(self, starts=self.starts[rows])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the windows are cut from, and where."""
        return digests.of_json([digests.of_array(self.series), digests.of_array(self.starts), self.steps])

"""Images that stay encoded until a step needs them: for splits that fit no memory once decoded."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax.data.crops import center_crop, decode, random_resized_crop
from rnnjax.errors import DataError


@dataclass(frozen=True)
class EncodedImages:
    """Stands where a split's images ``[N, size, size, channels]`` would stand, and decodes those that are asked for.

    Attributes:
      name: of the split, for errors.
      fetch: encoded images by their numbers in the source; called from several threads at once.
      numbers: ``[N]`` the numbers of this split's images in the source.
      size: height and width to which images are cropped, in pixels.
      channels: 1 for grey, 3 for RGB.
      source: what tells the source's files from others, such as a digest of their names, sizes and samples of them.
      least_area: smallest share of an image's area that a training crop shows.
    """

    name: str
    fetch: Callable[[list[int]], Sequence[bytes]]
    numbers: np.ndarray
    size: int
    channels: int = 3
    least_area: float = 0.08
    source: str = ""

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape that the decoded split would have."""
        return (len(self), self.size, self.size, self.channels)

    @property
    def nbytes(self) -> int:
        """What the decoded split would take."""
        return int(np.prod(self.shape, dtype=np.int64))

    def select(self, rows: np.ndarray) -> "EncodedImages":
        """The images at ``rows``, in that order, still encoded."""
        return dataclasses.replace(self, numbers=self.numbers[rows])

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Center crops of rows, given as NumPy takes them: ``[..., size, size, channels]``."""
        rows = np.arange(len(self))[rows]
        return self.crops(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])

    def crops(self, rows: np.ndarray, key: tuple[int, int] | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Decodes and crops images.

        Args:
          rows: ``[n]`` row numbers in this split.
          key: seed and epoch, from which with the row's number its random crop follows; None for center crops.
          out: where they are put; None for a new array.

        Returns:
          ``[n, size, size, channels]`` uint8.

        Raises:
          DataError: at an image that cannot be read, or is cut off.
        """
        out = np.empty((len(rows), *self.shape[1:]), np.uint8) if out is None else out
        encoded = self.fetch(self.numbers[rows].tolist())
        for place, (row, data) in enumerate(zip(rows.tolist(), encoded, strict=True)):
            where = f"{self.name}, record {int(self.numbers[row])}"
            image = decode(data, where)
            try:
                if key is None:
                    out[place] = center_crop(image, self.size, self.channels)
                else:
                    rng = np.random.default_rng((*key, row))
                    out[place] = random_resized_crop(image, self.size, self.channels, rng, self.least_area)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{where}: not a readable image ({error})") from error
        return out

"""Feeds the compiled steps with a split, chunk by chunk of a plan.

A split within the byte budget is put on the devices once, as it is stored, and a chunk sends row
numbers only. A larger one is streamed: grain gathers the rows of the next chunks on the host while
the devices work. Both follow the same plan and give the same numbers.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from rnnjax.data import Examples
from rnnjax.data.plan import Chunk
from rnnjax.parallel import DataParallel

_READ_AHEAD = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)

CHUNK_AXES = {"rows": 0, "ids": 0, "mask": 0, "valid": None, "epoch": None}
"""Mapped axes of a chunk's arguments."""


class Feed:
    """One split, ready for the devices.

    Attributes:
      resident: whether the split lives on the devices.
      data_axis: mapped axis of the data argument: None when resident, else 0.
    """

    def __init__(self, examples: Examples, parallel: DataParallel, budget_bytes: int):
        self._examples = examples
        self._parallel = parallel
        self.resident = examples.nbytes <= budget_bytes
        self.data_axis = None if self.resident else 0
        self._data = parallel.replicate(examples.arrays()) if self.resident else None

    def __call__(self, chunks: Sequence[Chunk], epoch: int = 0) -> Iterator[tuple[Chunk, Any, dict[str, Any]]]:
        """Yields each chunk with the data and chunk arguments of :mod:`rnnjax.step`'s functions."""
        if self.resident:
            for chunk in chunks:
                ids = self._parallel.shard(chunk.rows)
                yield chunk, self._data, self._arguments(chunk, epoch, rows=ids, ids=ids)
        elif chunks:
            stream = grain.MapDataset.source(chunks).map(lambda chunk: self._gathered(chunk, epoch))
            yield from stream.to_iter_dataset(_READ_AHEAD)

    def _gathered(self, chunk: Chunk, epoch: int) -> tuple[Chunk, Any, dict[str, Any]]:
        ids = self._parallel.shard(chunk.rows)
        devices, steps, batch = ids.shape
        flat = ids.reshape(devices, -1)
        data = {name: array[flat] for name, array in self._examples.arrays().items()}
        rows = np.broadcast_to(np.arange(steps * batch, dtype=np.int32).reshape(steps, batch), ids.shape)
        return chunk, data, self._arguments(chunk, epoch, rows=rows, ids=ids)

    def _arguments(self, chunk: Chunk, epoch: int, **rows: np.ndarray) -> dict[str, Any]:
        valid = chunk.mask.any(1)
        return {**rows, "mask": self._parallel.shard(chunk.mask), "valid": valid, "epoch": np.int32(epoch)}

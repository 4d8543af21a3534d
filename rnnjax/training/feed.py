"""Feeds the compiled steps with a split, chunk by chunk of a plan.

A split within the byte budget is put on the devices once, as it is stored, and a chunk sends row
numbers only. A larger one is streamed: grain gathers the rows of the next chunks on the host while
the devices work. Both follow the same plan and give the same numbers. Images that are still encoded
are always streamed, and grain's threads decode them.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.data import Examples, image_files
from rnnjax.data.plan import Chunk
from rnnjax.training.parallel import DataParallel

_PART = 16
"""Images that a thread decodes at once."""

CHUNK_AXES = {"rows": 0, "ids": 0, "mask": 0, "valid": None, "epoch": None}
"""Mapped axes of a chunk's arguments."""


class Fed(NamedTuple):
    """A chunk with the data and chunk arguments of :mod:`rnnjax.training.step`'s functions."""

    chunk: Chunk
    data: Any
    arguments: dict[str, Any]


class Feed:
    """One split, ready for the devices.

    Attributes:
      resident: whether the split lives on the devices.
      data_axis: mapped axis of the data argument: None when resident, else 0.
    """

    def __init__(self, examples: Examples, parallel: DataParallel, budget_bytes: int, workers: int = 0):
        self._examples = examples
        self._parallel = parallel
        self._workers = image_files.decoding_threads(workers)
        self.resident = examples.nbytes <= budget_bytes and not examples.encoded
        self.data_axis = None if self.resident else 0
        self._data = parallel.replicate(examples.stored()) if self.resident else None

    def __call__(self, chunks: Sequence[Chunk], epoch: int = 0, seed: int | None = None) -> Iterator[Fed]:
        """Yields each chunk, fed.

        Args:
          chunks: of a plan.
          epoch: its number.
          seed: of the random crops of images that are decoded here; None for no randomness.
        """
        if self.resident:
            for chunk in chunks:
                ids = self._parallel.shard(chunk.rows)
                yield Fed(chunk, self._data, self._arguments(chunk, epoch, rows=ids, ids=ids))
        elif self._examples.encoded:
            yield from self._decoded(chunks, epoch, None if seed is None else (seed, epoch))
        elif chunks:
            import grain  # what lives on the devices needs none of it

            stream = grain.MapDataset.source(chunks).map(lambda chunk: self._gathered(chunk, epoch))
            yield from stream.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=2))

    def shapes(self, chunk: Chunk) -> Fed:
        """What a chunk is fed with, as shapes: nothing is read, decoded or sent."""
        ids = self._parallel.shard(chunk.rows)
        data = self._data
        if not self.resident:
            rows = (ids.shape[0], ids[0].size)
            stored = self._examples.stored().items()
            data = {name: jax.ShapeDtypeStruct((*rows, *array.shape[1:]), array.dtype) for name, array in stored}
        arguments = self._arguments(chunk, 0, rows=ids, ids=ids)
        like = lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)  # noqa: E731
        return Fed(chunk, *jax.tree.map(like, (data, arguments)))

    def _gathered(self, chunk: Chunk, epoch: int) -> Fed:
        ids = self._parallel.shard(chunk.rows)
        flat = ids.reshape(ids.shape[0], -1)
        data = {name: array[flat] for name, array in self._examples.stored().items()}
        return Fed(chunk, data, self._arguments(chunk, epoch, rows=_places(ids.shape), ids=ids))

    def _decoded(self, chunks: Sequence[Chunk], epoch: int, key: tuple[int, int] | None) -> Iterator[Fed]:
        """Threads decode the next two chunks part by part, each part into its place."""
        every = [self._parallel.shard(chunk.rows) for chunk in chunks]
        parts = [(number, start) for number, ids in enumerate(every) for start in range(0, ids.size, _PART)]
        if not parts:
            return
        import grain

        (name,) = self._examples.encoded
        images: Any = self._examples[name]
        begun: dict[int, np.ndarray] = {}
        lock = threading.Lock()

        def decode(part: tuple[int, int]) -> tuple[int, int]:
            number, start = part
            rows = every[number].reshape(-1)
            with lock:
                if number not in begun:
                    begun[number] = np.empty((len(rows), *images.shape[1:]), images.dtype)
                out = begun[number]
            images.crops(rows[start : start + _PART], key, out[start : start + _PART])
            return part  # grain leaves out what is None

        ahead = max(2 * len(parts) // len(chunks), self._workers)
        options = grain.ReadOptions(num_threads=self._workers, prefetch_buffer_size=ahead)
        decoded = iter(grain.MapDataset.source(parts).map(decode).to_iter_dataset(options))
        for number, (chunk, ids) in enumerate(zip(chunks, every, strict=True)):
            for _ in range(0, ids.size, _PART):
                next(decoded)  # in the order of the parts
            devices, steps, batch = ids.shape
            inputs = begun.pop(number).reshape(devices, steps * batch, *images.shape[1:])
            flat = ids.reshape(devices, -1)
            rest = {other: array[flat] for other, array in self._examples.stored().items() if other != name}
            data = {name: inputs, **rest}
            yield Fed(chunk, data, self._arguments(chunk, epoch, rows=_places(ids.shape), ids=ids))

    def _arguments(self, chunk: Chunk, epoch: int, **rows: np.ndarray) -> dict[str, Any]:
        valid = chunk.mask.any(1)
        return {**rows, "mask": self._parallel.shard(chunk.mask), "valid": valid, "epoch": np.int32(epoch)}


def _places(shape: tuple[int, ...]) -> np.ndarray:
    """Where the rows of a streamed chunk lie in its data: ``[devices, K, B]``."""
    _, steps, batch = shape
    return np.broadcast_to(np.arange(steps * batch, dtype=np.int32).reshape(steps, batch), shape)

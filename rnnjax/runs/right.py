"""Which examples a network answered rightly, kept in its result: two results are then tested in pairs."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnjax.data import Spec
from rnnjax.errors import DataError
from rnnjax.tasks import Task


def answered(task: Task, spec: Spec, kept: Any, split: str, digest: str | None) -> dict[str, Any] | None:
    """For a result: ``split``, the ``digest`` of its data, ``examples`` and ``bits``, one an example, compressed.

    Args:
      task: that judged them.
      spec: of the data.
      kept: what the task kept of each example; None: nothing.
      split: of the examples.
      digest: of the split, as the run's record has it.

    Returns:
      None where what is compared is no share of right examples.
    """
    rows = None if kept is None else task.outcomes(kept, spec)
    hits = None if rows is None else task.hits(rows)
    if hits is None:
        return None
    return {"split": split, "data": digest, "examples": len(hits), "bits": packed(hits)}


def packed(hits: np.ndarray) -> str:
    """Booleans ``[N]`` as text: the bits, eight a byte, by zlib and base64."""
    return base64.b64encode(zlib.compress(np.packbits(hits.astype(bool)).tobytes(), 9)).decode("ascii")


def unpacked(stored: Mapping[str, Any]) -> np.ndarray:
    """Which examples were right, ``[N]`` booleans, of what :func:`answered` returned.

    Raises:
      DataError: if it is damaged.
    """
    try:
        held = np.frombuffer(zlib.decompress(base64.b64decode(stored["bits"], validate=True)), np.uint8)
        examples = int(stored["examples"])
        if len(held) != -(-examples // 8):
            raise ValueError(f"{8 * len(held)} bits for {examples} examples")
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise DataError(f"which examples a result has right cannot be read: {error}") from error
    return np.unpackbits(held, count=examples).astype(bool)

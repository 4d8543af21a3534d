"""What of a state is the same on all devices, and what each device has its own rows of.

The carry has a row a stream, and a stream stays on its device; all else is replicated. On the host a state is whole,
its carry ``[B, ...]`` in the order of the streams, so that a checkpoint is taken up by any number of devices.
"""

from typing import Any

import jax
import numpy as np

from rnnjax.errors import UsageError
from rnnjax.training.parallel import DataParallel
from rnnjax.training.state import StreamState, TrainState, with_carry


def axes(state: TrainState) -> Any:
    """Mapped axes of a state, for :meth:`rnnjax.training.parallel.DataParallel.spread`."""
    if state.carry is None:
        return None
    return StreamState(None, None, None, None, None, None, carry=0)  # pyright: ignore[reportArgumentType]


def placed(state: TrainState, parallel: DataParallel) -> TrainState:
    """A state of the host, on the devices."""
    return with_carry(parallel.replicate(with_carry(state, None)), split(state.carry, parallel))


def on_host(state: TrainState, parallel: DataParallel) -> TrainState:
    """The inverse: NumPy arrays of their own memory."""
    return with_carry(parallel.to_host(with_carry(state, None)), whole(state.carry, parallel))


def split(carry: Any, parallel: DataParallel) -> Any:
    """Leaves ``[B, ...]`` as ``[local devices, B / all devices, ...]``, each device with its own."""
    count = parallel.device_count
    return jax.tree.map(lambda leaf: parallel.scattered(np.reshape(leaf, (count, -1, *leaf.shape[1:]))), carry)


def whole(carry: Any, parallel: DataParallel) -> Any:
    """The inverse of :func:`split`, of all hosts together."""
    return jax.tree.map(lambda leaf: parallel.gathered(leaf).reshape(-1, *leaf.shape[2:]), carry)


def fresh(carry: Any, rows: int) -> Any:
    """The carry of one example for so many streams, on the host.

    Raises:
      UsageError: if a leaf of it has no axis of rows.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(carry):
        if leaf.shape[:1] != (1,):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UsageError(
                f"the collection carry holds a row a stream, but {name} of one example is {list(leaf.shape)}; "
                "what has no rows belongs into another collection"
            )
    return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), rows, axis=0), carry)

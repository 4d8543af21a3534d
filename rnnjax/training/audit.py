"""An audit of the machine: the same computation twice must give the same bits, and all devices must hold the same."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.errors import AuditError
from rnnjax.training.parallel import DataParallel
from rnnjax.training.roles import on_host, placed
from rnnjax.training.state import TrainState


def twice(advance: Callable, parallel: DataParallel, state: TrainState) -> tuple[TrainState, Any]:
    """What ``advance(state)`` gives, after it gave it twice.

    Args:
      advance: of a chunk, see :meth:`rnnjax.training.runner.Runner.train_chunks`; it donates its state.
      parallel: the devices.
      state: on the devices.

    Raises:
      AuditError: if the two differ in a bit, or the devices in theirs; on every host.
    """
    step, kept = int(state.step), on_host(state, parallel)
    first = _on_host(parallel, advance(state))
    result = advance(placed(kept, parallel))
    second = _on_host(parallel, result)
    apart = _first_difference(first, second)
    replicas = parallel.first_difference(result[0].params)
    if parallel.any_process(apart is not None or replicas is not None):
        what = "another host found a difference"
        what = what if replicas is None else f"the devices hold another {replicas}"
        what = what if apart is None else f"computed twice from one state, {apart} has other bits"
        raise AuditError(
            f"audit: in the chunk after step {step} {what}; this machine computes wrong (or, on a GPU, not "
            "deterministically: --xla_gpu_deterministic_ops=true in XLA_FLAGS rules that out). "
            "Nothing was saved after it"
        )
    return result


def _on_host(parallel: DataParallel, result: tuple[TrainState, Any]) -> dict[str, bytes]:
    state, sums = result
    leaves = digests.leaves((on_host(state, parallel), parallel.to_host(sums)))
    return {path: np.ascontiguousarray(leaf).tobytes() for path, leaf in leaves.items()}


def _first_difference(first: dict[str, bytes], second: dict[str, bytes]) -> str | None:
    return next((path for path in first if first[path] != second[path]), None)

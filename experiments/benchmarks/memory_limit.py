"""Refuses what would not fit into memory, before it is tried."""

from pathlib import Path

import jax

from experiments.benchmarks.task import Task
from rnnjax.errors import UsageError

SHARE = 0.8
"""Of the free memory, what a benchmark may ask for."""


def available() -> int | None:
    """Bytes that are free on the device that JAX computes on, None if nobody says."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), None)


def check(tasks: list[Task], free: int | None) -> None:
    """Raises UsageError if the largest of the tasks needs more than most of the ``free`` bytes."""
    task = max(tasks, key=Task.bytes_needed)
    needed = task.bytes_needed()
    if free is not None and needed > SHARE * free:
        raise UsageError(
            f"{task.shape} ({task.cell}, {task.form}) needs up to {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB "
            "are free; take a smaller shape"
        )

"""The most memory that a training has used so far."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def peak_memory(devices: Sequence[Any]) -> tuple[float, str]:
    """The peak of this process so far.

    Args:
      devices: this process's.

    Returns:
      MiB, and of what: ``"device"``, the fullest one as its allocator counts; where devices do not count, as CPUs do
      not, ``"process"``, all of its resident memory. What came before the training counts in both.
    """
    counted = [stats["peak_bytes_in_use"] for device in devices if (stats := _stats(device))]
    if counted:
        return max(counted) / 2**20, "device"
    return _resident(), "process"


def _resident() -> float:
    """MiB.

    On Linux ``getrusage`` begins with the most memory of the process by which this one was started, however small this
    one is. What the kernel says of its memory itself does not.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        found = None
    if found:
        return int(found[1]) / 2**10
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _stats(device: Any) -> dict[str, int] | None:
    stats = device.memory_stats()
    return stats if stats and "peak_bytes_in_use" in stats else None

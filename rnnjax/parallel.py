"""Devices and processes: the only module that names pmap.

One mapped axis, ``batch``. The state is replicated: it enters and leaves a compiled function with
axis None. A batch is split over the devices of all hosts; each host feeds its own.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnjax.errors import RunError, UsageError


def start(*, cpu_devices: int = 1, distributed: bool = False) -> None:
    """Sets the number of simulated CPU devices and joins the other hosts; call it before JAX is used.

    Raises:
      UsageError: if the number is not positive, or JAX already runs with another number of CPU devices.
      RunError: if the other hosts cannot be joined.
    """
    if cpu_devices < 1:
        raise UsageError(f"the number of CPU devices must be positive, got {cpu_devices}")
    with contextlib.suppress(RuntimeError):  # the backend runs already: checked below
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    if distributed:
        try:
            jax.distributed.initialize()
        except (RuntimeError, ValueError) as error:
            raise RunError(f"--parallel.distributed: the hosts could not join: {error}") from error
    if jax.default_backend() == "cpu" and jax.local_device_count() < cpu_devices:
        raise UsageError(
            f"JAX already runs with {jax.local_device_count()} CPU device(s), so it cannot have {cpu_devices}; "
            "set the number before JAX is first used"
        )


class DataParallel:
    """Splits batches over devices, replicates the rest, and compiles functions for that.

    Attributes:
      devices: this process's devices.
      axis_name: the mapped axis.
    """

    def __init__(self, devices: Sequence[Any] | None = None, axis_name: str = "batch"):
        self.devices = list(jax.local_devices() if devices is None else devices)
        self.axis_name = axis_name
        self._given = devices is not None
        mesh = Mesh(np.array(self.devices), (axis_name,))
        self._replicated = NamedSharding(mesh, PartitionSpec())

    @property
    def device_count(self) -> int:
        """Devices of all hosts together."""
        return len(self.devices) * jax.process_count()

    @property
    def is_primary(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return jax.process_index() == 0

    def check_batch(self, batch_size: int) -> None:
        """Raises UsageError if a batch does not divide over the devices."""
        if batch_size % self.device_count:
            down = batch_size // self.device_count * self.device_count
            near = " or ".join(str(n) for n in (down, down + self.device_count) if n)
            raise UsageError(
                f"a batch of {batch_size} does not divide over {self.device_count} devices; "
                f"set --data.batch-size to a multiple, such as {near}"
            )

    def compile(self, function: Callable, in_axes: Any, out_axes: Any, donate: tuple[int, ...] = ()) -> Callable:
        """``jax.pmap`` of a function over the devices; arguments with axis None are replicated."""
        return jax.pmap(
            function,
            axis_name=self.axis_name,
            in_axes=in_axes,
            out_axes=out_axes,
            donate_argnums=donate,
            devices=self.devices if self._given else None,
        )

    def shard(self, array: np.ndarray) -> np.ndarray:
        """This process's part of ``[K, B, ...]``, as ``[local devices, K, B / all devices, ...]``."""
        steps, batch = array.shape[:2]
        split = array.reshape(steps, self.device_count, batch // self.device_count, *array.shape[2:])
        first = jax.process_index() * len(self.devices)
        return np.ascontiguousarray(np.swapaxes(split[:, first : first + len(self.devices)], 0, 1))

    @staticmethod
    def unshard(shards: np.ndarray) -> np.ndarray:
        """Puts the parts of all devices of all hosts together: ``[devices, K, B / devices, ...] -> [K, B, ...]``."""
        devices, steps, batch = shards.shape[:3]
        return np.swapaxes(shards, 0, 1).reshape(steps, devices * batch, *shards.shape[3:])

    def replicate(self, tree: Any) -> Any:
        """Puts every leaf on each of this process's devices."""
        return jax.device_put(tree, self._replicated)

    def to_host(self, tree: Any) -> Any:
        """Replicated leaves as NumPy arrays of their own memory, safe from donation and ready to be saved."""
        return jax.tree.map(
            lambda leaf: np.array(leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf), tree
        )

    def any_process(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any host; every host must ask."""
        if jax.process_count() == 1:
            return flag
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def describe(self) -> dict[str, Any]:
        """Platform, kind and number of devices, and the number of hosts."""
        return {
            "platform": self.devices[0].platform,
            "kind": _cpu_model() if self.devices[0].platform == "cpu" else self.devices[0].device_kind,
            "count": self.device_count,
            "hosts": jax.process_count(),
        }


def _cpu_model() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "CPU"

"""Devices and processes: the only module that names pmap.

One mapped axis, ``batch``. The state is replicated: it enters and leaves a compiled function with
axis None. A batch is split over the devices of all hosts; each host feeds its own.
"""

import contextlib
import functools
import hashlib
import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnjax.errors import RunError, UsageError
from rnnjax.layers.target import tracing_for
from rnnjax.training import hosts

_ROWS_A_DEVICE = 64
"""Fewest rows of a batch for which one more CPU device pays: with fewer, what the devices wait for each other
takes what they gain."""


def start(
    *,
    cpu_devices: int | None = None,
    batch_size: int = 1,
    distributed: bool = False,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    join_timeout: int = 120,
    heartbeat: int = 30,
) -> None:
    """Sets the number of CPU devices and joins the other hosts; call it before JAX is used.

    Args:
      cpu_devices: number of devices to split the CPU into; None chooses it, and takes what is there
        where JAX already runs. Without a meaning where there is an accelerator.
      batch_size: the batch that the devices will share.
      distributed: join the other hosts.
      coordinator, processes, process_id: ``HOST:PORT`` of process 0, the number of processes and this one's number,
        where JAX does not find them by itself; they imply ``distributed``.
      join_timeout: seconds to wait for the other hosts.
      heartbeat: seconds without a sign of life after which a host counts as dead.

    Raises:
      UsageError: if the number is not positive, or JAX already runs with another number of CPU devices.
      RunError: if the other hosts cannot be joined. (Where they do not come in time, JAX ends the process by
        SIGABRT; :func:`rnnjax.training.hosts.watched` makes a sentence of it.)
    """
    distributed = distributed or coordinator is not None
    if cpu_devices is not None and cpu_devices < 1:
        raise UsageError(f"the number of CPU devices must be positive, got {cpu_devices}")
    with contextlib.suppress(RuntimeError):  # the backend runs already: checked below
        # Of other hosts nothing is known here, and all need the same number.
        chosen = 1 if distributed else devices_for(batch_size, _available_cores())
        jax.config.update("jax_num_cpu_devices", cpu_devices or chosen)
    if distributed:
        _join(coordinator, processes, process_id, join_timeout, heartbeat)
    if cpu_devices is not None and jax.default_backend() == "cpu" and jax.local_device_count() < cpu_devices:
        raise UsageError(
            f"JAX already runs with {jax.local_device_count()} CPU device(s), so it cannot have {cpu_devices}; "
            "set the number before JAX is first used"
        )


def _join(coordinator: str | None, processes: int | None, process_id: int | None, timeout: int, heartbeat: int) -> None:
    if coordinator is not None and process_id == 0:
        hosts.check_port(coordinator)
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=processes,
            process_id=process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=heartbeat,
            # How long a host that fails alone waits for the others to end with it, and they for it.
            shutdown_timeout_seconds=max(30, heartbeat),
        )
    except (RuntimeError, ValueError) as error:
        if coordinator is None and isinstance(error, ValueError):
            raise RunError(
                f"--parallel.distributed: JAX does not find the hosts of this run by itself ({error}); "
                "give --parallel.coordinator, --parallel.processes and --parallel.process-id"
            ) from error
        raise RunError(hosts.not_joined(timeout, str(error))) from error
    hosts.joined()


def devices_for(batch_size: int, cores: int) -> int:
    """The number of CPU devices that a batch is best split over: at most one a core, each with a fair share of rows."""
    most = max(1, min(cores, batch_size // _ROWS_A_DEVICE))
    return next(n for n in range(most, 0, -1) if batch_size % n == 0)


def _available_cores() -> int:
    """Cores that this process may use, by its affinity and its control group's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        cores = min(cores, max(1, int(quota) // int(period)))  # "max", no quota, is a ValueError
    return cores


def keep_compiled(folder: Path | None) -> None:
    """Keeps compiled programs in a folder and takes those of earlier processes from it; None stops that.

    JAX's own settings go first: with ``JAX_COMPILATION_CACHE_DIR`` it is that folder, and with
    ``JAX_ENABLE_COMPILATION_CACHE=0`` none. A cache that cannot be read or written costs a warning, nothing else.

    Args:
      folder: shared by machines and versions: what is compiled for another kind of CPU lies apart, since
        code for one may end in an illegal instruction on another, and JAX tells the rest apart by itself.
    """
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    path = None if folder is None else named or str(folder / _cpu_fingerprint())
    jax.config.update("jax_compilation_cache_dir", path)
    # The many programs of a few milliseconds are together as slow to compile as the steps of a small model.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()  # JAX settles at its first compilation whether and where there is a cache
    _listen()


_EVENTS: Counter[str] = Counter()
"""What JAX told of its compilation cache, for the whole process."""


@functools.cache
def _listen() -> None:
    def count(event: str, **_: Any) -> None:
        if event.startswith("/jax/compilation_cache/"):
            _EVENTS[event.rsplit("/", 1)[1]] += 1

    jax.monitoring.register_event_listener(count)


def _cpu_fingerprint() -> str:
    """A name for the instruction sets of this machine's CPU."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("flags", "Features")):
                return f"{platform.machine()}-{hashlib.sha256(line.encode()).hexdigest()[:8]}"
    return platform.machine()


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
        self._mapped = NamedSharding(mesh, PartitionSpec(axis_name))

    @property
    def device_count(self) -> int:
        """Devices of all hosts together."""
        return len(self.devices) * jax.process_count()

    @property
    def platform(self) -> str:
        """Of the devices: ``"cpu"``, ``"gpu"`` or ``"tpu"``; not always JAX's default one."""
        return self.devices[0].platform

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

    def spread(self, function: Callable, in_axes: Any, out_axes: Any, donate: tuple[int, ...] = ()) -> Callable:
        """A function over the devices, by ``jax.pmap``.

        Args:
          function: of one device's part of its arguments; it sums over the devices by :attr:`axis_name`.
          in_axes: of each argument, or of each leaf of a dictionary: 0 where the leading axis is that of the devices,
            None where all have the same.
          out_axes: likewise of its results.
          donate: numbers of the arguments whose memory the results may take.
        """

        @functools.wraps(function)
        def traced(*arguments: Any) -> Any:
            with tracing_for(self.platform):
                return function(*arguments)

        return jax.pmap(
            traced,
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
        """The inverse of sharding over all devices: ``[devices, K, B / devices, ...]`` to ``[K, B, ...]``."""
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

    def scattered(self, array: np.ndarray) -> Any:
        """This process's part of the rows of all devices, ``[devices, ...]``, each on its own device."""
        first = jax.process_index() * len(self.devices)
        return jax.device_put(array[first : first + len(self.devices)], self._mapped)

    def gathered(self, array: Any) -> np.ndarray:
        """The inverse of :meth:`scattered`, of all hosts together."""
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        local = np.concatenate([np.array(shard.data) for shard in shards])
        if jax.process_count() == 1:
            return local
        from jax.experimental import multihost_utils

        return np.concatenate(list(multihost_utils.process_allgather(local)))

    def first_difference(self, tree: Any) -> str | None:
        """Path of the first leaf of a replicated tree whose bits differ between devices, of all hosts; None if none."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            copies = [np.ascontiguousarray(shard.data).tobytes() for shard in leaf.addressable_shards]
            if not self._alike_everywhere(copies):
                return jax.tree_util.keystr(path, simple=True, separator="/")
        return None

    @staticmethod
    def _alike_everywhere(copies: Sequence[bytes]) -> bool:
        """Whether the copies of a leaf are the same, here and on all hosts; every host asks and has the same answer."""
        alike = all(copy == copies[0] for copy in copies)
        if jax.process_count() == 1:
            return alike
        from jax.experimental import multihost_utils

        # A host that found a difference of its own tells the others, which would wait for it at the next leaf.
        said = np.frombuffer(hashlib.sha256(copies[0]).digest() + bytes([alike]), np.uint8)
        heard = multihost_utils.process_allgather(said)
        return bool((heard == said).all() and heard[:, -1].all())

    def any_process(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any host; every host must ask. Raises RunError if one of them is gone."""
        if jax.process_count() == 1:
            return flag
        from jax.experimental import multihost_utils

        with hosts.gone_is_run_error():
            return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def cache_counts(self) -> dict[str, int] | None:
        """Programs that this process took from the cache of compiled ones so far (``hits``), and that it had to
        compile (``misses``); None where no cache is in use.
        """
        config: Any = jax.config  # its attributes are made as JAX is imported, and no type checker sees them
        if not (config.jax_enable_compilation_cache and config.jax_compilation_cache_dir):
            return None
        hits = _EVENTS["cache_hits"]
        return {"hits": hits, "misses": _EVENTS["compile_requests_use_cache"] - hits}

    def describe(self) -> dict[str, Any]:
        """Platform, kind and number of devices, and the number of hosts."""
        return {
            "platform": self.platform,
            "kind": _cpu_model() if self.platform == "cpu" else self.devices[0].device_kind,
            "count": self.device_count,
            "hosts": jax.process_count(),
        }


def _cpu_model() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "CPU"

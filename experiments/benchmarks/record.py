"""Result files of the benchmarks: where they lie, and the circumstances that stand in each.

JAX is imported where it is used: the report reads result files without it.
"""

import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from experiments.benchmarks.neighbours import Neighbours
from rnnjax.errors import DataError, UsageError
from rnnjax.runs import environment as results

COMMITTED = Path(__file__).resolve().parents[1] / "results" / "benchmarks"
"""Results of the default choices; what other choices give is written below ``runs/``."""
UNCOMMITTED = Path("runs/benchmarks")
BUSY = 0.5
"""Load of the machine above which a warning is printed."""

Options = TypeVar("Options")

_PEERS = ("torch", "keras", "equinox")
_neighbours: Neighbours | None = None
"""Since :func:`start`."""


def start(devices: int) -> float:
    """Sets the number of CPU devices and switches the compilation cache off; call it before JAX is used.

    From here on it is counted how many cores others keep busy, for :func:`circumstances`.

    Returns:
      The load of the machine over the last minute, which goes into the result: on a busy one, times
      are wrong and not by the same factor for all peers. It warns when more than a half core is busy.
    """
    global _neighbours
    import jax

    from rnnjax.training import parallel

    jax.config.update("jax_enable_compilation_cache", False)
    os.environ.setdefault("KERAS_BACKEND", "jax")
    parallel.start(cpu_devices=devices)
    _neighbours = Neighbours()
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"warning: other programs keep {load:.1f} cores busy; times will be wrong", file=sys.stderr)
    return load


def parse(part: str, options: type[Options], arguments: Sequence[str] | None) -> Options:
    """A part's options from its command line.

    Raises:
      UsageError: if nothing can be written to ``out``; that is said before hours are spent.
    """
    import tyro  # what only writes result files reads no command line by it

    config = (tyro.conf.FlagCreatePairsOff,)
    chosen = tyro.cli(options, args=arguments, prog=f"python -m experiments.benchmarks {part}", config=config)
    check_out(getattr(chosen, "out", None))
    return chosen


def check_out(out: Path | None) -> None:
    """Raises UsageError if a result file cannot be written there; nothing is made."""
    if out is None:
        return
    if out.is_dir():
        raise UsageError(f"--out is a file for the result, and {out} is a folder; name a file in it")
    if out.suffix == ".png":
        raise UsageError(f"--out: {out} is where the plot will be, beside the result; end it in .json")
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not (there.is_file() if there == out.absolute() else there.is_dir()) or not os.access(there, os.W_OK):
        raise UsageError(f"--out: {out} cannot be written, by reason of {there}; name another file")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def circumstances() -> dict[str, Any]:
    """When, from what source, with which versions, and on what; times depend on each of them."""
    from rnnjax.training.parallel import DataParallel

    environment = results.environment()
    versions = environment.pop("versions") | {name: _version(name) for name in _PEERS}
    return {
        "finished": results.now(),
        **environment,
        "versions": versions,
        "device": DataParallel().describe() | {"cores": cores()},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "compilation_cache": False,
        "cores_of_others": _neighbours and _neighbours.cores(),
    }


def device_name() -> str:
    """What result files are called by: ``cpu``, or an accelerator's kind such as ``nvidia-h200``."""
    import jax

    device = jax.local_devices()[0]
    kind = "cpu" if device.platform == "cpu" else device.device_kind
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")


def out_path(part: str, out: Path | None, *, whole: bool) -> Path:
    """The file of a part's result: the one asked for, or by default the committed one for a whole default run.

    What another allocator than the default one was measured with lies beside it.
    """
    name = f"{part}-malloc" if results.allocator() else part
    return out or (COMMITTED if whole else UNCOMMITTED) / f"{name}-{device_name()}.json"


def write(result: dict[str, Any], path: Path) -> None:
    """Writes a result as JSON, one row a line so that a difference can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(result), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """A result file.

    Raises:
      DataError: if it is not readable, or none.
    """
    again = "take it away, or write it again by python -m experiments.benchmarks"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable result ({error}); {again}") from error
    if not (isinstance(result, dict) and {"part", "device"} <= set(result)):
        raise DataError(f"{path} is no result of a benchmark, which has a part and a device; {again}")
    return result


def as_text(result: dict[str, Any]) -> str:
    """What :func:`write` writes."""
    parts = []
    for name, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines = ",\n".join("    " + json.dumps(rounded(row)) for row in value)
            parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
        else:
            parts.append(f"  {json.dumps(name)}: {json.dumps(rounded(value))}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def rounded(value: Any) -> Any:
    """Numbers to seven digits: a clock has no more."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list) else value


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

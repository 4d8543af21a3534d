"""Machines that programs are compiled for without one: what a name means, and its compile-only devices.

JAX is imported when it is used: a wrong name does not wait for it.

The chips are described in ``chips.json``, by public figures: memory in bytes, bandwidth of the memory in bytes/s, peak
rates of dense products in operations/s by dtype, for float32 by the precision of ``jax.default_matmul_precision``.
A TPU multiplies float32 in one, three or six passes of bfloat16, an H100 or H200 in TF32 where that is allowed.
"""

import contextlib
import difflib
import functools
import json
import math
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnnjax.ahead.quiet import quietly
from rnnjax.errors import UsageError

EXAMPLES = "v5e:2x2, v5p:2x2x2, v6e:2x2 (chips along each side), h100:8, h200:8, h200:8x8 (hosts x GPUs of each)"


@dataclass(frozen=True)
class Machine:
    """A machine of accelerators.

    Attributes:
      name: as it was asked for, such as ``v5e:2x2``.
      chip: its entry of ``chips.json``.
      shape: chips along each side, or hosts and devices of each.
    """

    name: str
    chip: dict[str, Any]
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Devices of all hosts together."""
        return math.prod(self.shape)

    @property
    def shown(self) -> str:
        """In words."""
        return f"{self.count} x {self.chip['name']} ({self.chip['memory'] / 1e9:.4g} GB each)"

    def devices(self) -> list[Any]:
        """Compile-only devices, those of all hosts.

        Raises:
          UsageError: if a package is missing that compiles for them, or there is no such shape.
        """
        from jax.experimental import topologies

        platform, options = ("tpu", {"topology_name": self.name})
        if self.chip["platform"] == "gpu":
            hosts, each = (1, *self.shape)[-2:]
            description = {"target_config": _text(self.chip["target"]), "topology": f"1x{hosts}x{each}"}
            platform, options = "cuda", {"topology_name": self.name.partition(":")[0], **description}
        _check_installed(platform)
        try:
            with quietly():
                return list(topologies.get_topology_desc(platform=platform, **options).devices)
        except Exception as error:  # of the plug-in's own kinds
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise UsageError(f"--for {self.name}: there is no machine of this shape to compile for ({said})") from error


def machine(name: str) -> Machine:
    """The machine that a name means.

    Args:
      name: a chip and how many: ``v5e:2x2``, ``h200:8``, ``h200:8x8``.

    Raises:
      UsageError: if there is no such chip, or the shape is none of its kind; it lists the known ones.
    """
    chip, _, text = name.strip().lower().partition(":")
    if chip not in chips():
        near = difflib.get_close_matches(chip, chips(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"--for {name}: there is no chip {chip!r}; {hint}Known machines are {EXAMPLES}")
    sides = (chips()[chip]["grid"],) if "grid" in chips()[chip] else (1, 2)
    if not re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})*", text) or len(text.split("x")) not in sides:
        wanted = "hosts x GPUs of each" if len(sides) > 1 else f"{sides[0]} sides"
        raise UsageError(f"--for {name}: {chip} needs its shape, {wanted}; known machines are {EXAMPLES}")
    return Machine(f"{chip}:{text}", chips()[chip], tuple(map(int, text.split("x"))))


@functools.cache
def chips() -> dict[str, dict[str, Any]]:
    """What is known of each chip, by the name that it goes by."""
    return json.loads(Path(__file__).with_name("chips.json").read_text(encoding="utf-8"))


def prepare() -> None:
    """Lets JAX run on the CPU alone, so that no accelerator is asked for; call it before JAX is used.

    With a CUDA plug-in and no driver JAX would not find the plug-in otherwise, which compiles without one.
    """
    with contextlib.suppress(RuntimeError), quietly():  # the backend runs already
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.default_backend()


def obstacle(platform: str) -> str | None:
    """Why nothing can be compiled here for ``tpu`` or ``cuda``, and what to install; None where it can."""
    if platform == "tpu":
        return None if find_spec("libtpu") else "compiling for a TPU needs libtpu: pip install -e '.[aot-tpu]'"
    missing = [name for name in ("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12") if not _version(name)]
    if missing:
        return f"compiling for NVIDIA GPUs needs {', '.join(missing)}: pip install -e '.[aot-cuda]'"
    if (plugin := _version("jax-cuda12-plugin")) != (jaxlib := _version("jaxlib")):
        wanted = " ".join(f"jax-cuda12-{part}=={jaxlib}" for part in ("plugin", "pjrt"))
        return f"jax-cuda12-plugin is {plugin} and jaxlib {jaxlib}, but they must be the same: pip install {wanted}"
    return None


def _check_installed(platform: str) -> None:
    if (reason := obstacle(platform)) is not None:
        raise UsageError(reason)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _text(fields: dict[str, Any]) -> str:
    """A protocol buffer in its text format."""
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines.append(f"{name} {{ {_text(value)} }}")
        else:
            lines.append(f"{name}: {json.dumps(value)}")
    return " ".join(lines)

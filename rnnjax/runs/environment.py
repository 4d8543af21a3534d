"""Result files: what a run did and where, written by the run itself."""

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = (
    *("rnnjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint"),
    *("numpy", "scikit-learn", "tensorflow-datasets", "grain"),
)

_ALLOCATORS = ("GLIBC_TUNABLES", "LD_PRELOAD")
"""What sets glibc's malloc or replaces it, beside all that begins with ``MALLOC_``."""


def environment() -> dict[str, Any]:
    """Command, commit, versions and glibc's allocator settings of this process."""
    return {
        "command": command(paths=False),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "malloc": allocator() or "default",
    }


def allocator() -> dict[str, str]:
    """The environment variables that set the allocator of memory."""
    named = {name for name in os.environ if name in _ALLOCATORS or name.startswith("MALLOC_")}
    return {name: os.environ[name] for name in sorted(named)}


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command(paths: bool = True) -> str:
    """The command line of this process.

    Args:
      paths: whether to give absolute paths whole. Result files are shown to others, to whom the folders of this
        machine mean nothing; they get the last name of such a path alone.
    """
    arguments = sys.argv[1:] if paths else without_folders(sys.argv[1:])
    return f"{program(paths=paths)} {shlex.join(arguments)}".rstrip()


def program(paths: bool = True) -> str:
    """How this process was called, such that a shell in this folder calls it again, without its arguments.

    Args:
      paths: whether a script is named with its folder, or by its last name alone.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    script = sys.argv[0] or "-"
    return f"python {shlex.quote(os.path.relpath(script) if paths else Path(script).name)}"


def without_folders(value: Any) -> Any:
    """JSON, or an argument of a command, in which of each absolute path only the last name is left.

    A path may stand behind a name and ``=``, as in ``--runs-dir=PATH`` and in ``--init-from forwards=PATH``.
    """
    if isinstance(value, dict):
        return {name: without_folders(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(part) for part in value]
    if not isinstance(value, str):
        return value
    named = re.match(r"(?:--)?[\w.-]+=", value)
    name = named[0] if named else ""
    path = Path(value[len(name) :])
    return name + path.name if path.is_absolute() and path.name else value


def _commit() -> str | None:
    """The commit of this source tree, ``+changes`` if it has uncommitted ones; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))  # else it is another project's checkout
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

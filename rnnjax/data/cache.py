"""Decoded arrays on disk, named by what they were made from, readable by NumPy alone."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.errors import DataError

_FORMAT = 1
"""Raise it when the meaning of what is cached changes."""


def folder(configured: str | None) -> Path:
    """The cache folder: the configured one, or ``RNNJAX_CACHE_DIR``, or ``~/.cache/rnnjax``."""
    return Path(configured or os.environ.get("RNNJAX_CACHE_DIR") or "~/.cache/rnnjax").expanduser()


def arrays(root: Path, content: Mapping[str, Any], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays made from ``content``, from the cache if they are there, else made and kept.

    Args:
      root: the cache folder; it is created if need be.
      content: all that decides the arrays, as JSON values. Its hash names the cached folder.
      make: makes the arrays.

    Returns:
      Arrays by name, mapped into memory and read-only.

    Raises:
      DataError: if the cache folder cannot be written.
    """
    text = json.dumps({"format": _FORMAT, **content}, sort_keys=True)
    target = root / hashlib.sha256(text.encode()).hexdigest()[:20]
    if not _whole(target):
        made = make()
        try:
            _write(target, made, text)
        except OSError as error:
            raise DataError(
                f"cannot write the data cache {root}: {error}; name another with --data.cache-dir"
            ) from error
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(target.glob("*.npy"))}


def _whole(target: Path) -> bool:
    """Whether a cached folder is there and its files have the sizes that were written."""
    try:
        sizes = json.loads((target / "content.json").read_text(encoding="utf-8"))["file_bytes"]
        return all((target / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _write(target: Path, made: Mapping[str, np.ndarray], content: str) -> None:
    # Written aside and renamed when complete: a half-written folder has the final name only where the machine fell
    # between the two, and then its files' sizes tell.
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for name, array in made.items():
            np.save(aside / f"{name}.npy", array)
        sizes = {path.name: path.stat().st_size for path in sorted(aside.iterdir())}
        described = json.dumps({**json.loads(content), "file_bytes": sizes}, sort_keys=True)
        (aside / "content.json").write_text(described + "\n", encoding="utf-8")
        if not _whole(target):
            shutil.rmtree(target, ignore_errors=True)
        os.replace(aside, target)
    except OSError:
        if not _whole(target):  # else another process finished the same folder first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)

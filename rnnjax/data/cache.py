"""Decoded arrays on disk, named by what they were made from, readable by NumPy alone."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data.files import digest, regular
from rnnjax.errors import DataError

_FORMAT = 1
"""Raise it when the meaning of what is cached changes."""

_UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError, DataError)
"""What a file of the cache may raise that holds anything at all."""

_verified: set[tuple[Any, ...]] = set()
"""Folders whose bytes this process has checked, with the sizes and times that their files had then."""


def folder(configured: str | None) -> Path:
    """The cache folder: the configured one, or ``RNNJAX_CACHE_DIR``, or ``~/.cache/rnnjax``."""
    return Path(configured or os.environ.get("RNNJAX_CACHE_DIR") or "~/.cache/rnnjax").expanduser()


def arrays(root: Path, content: Mapping[str, Any], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays made from ``content``, from the cache if they are there, else made and kept.

    The bytes of every file are compared with digests that were written beside them, once a process; what is damaged is
    made again, and a note on stderr says so.

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
    names = _whole(target, text)
    if names is None:
        if _damaged(target):
            print(f"note: the data cache {target} is damaged and is made again", file=sys.stderr)
        made = make()
        try:
            _write(target, made, text)
        except OSError as error:
            raise DataError(
                f"cannot write the data cache {root}: {error}; name another with --data.cache-dir"
            ) from error
        names = [f"{name}.npy" for name in made]
    return {name.removesuffix(".npy"): np.load(target / name, mmap_mode="r") for name in sorted(names)}


def _whole(target: Path, content: str) -> list[str] | None:
    """The files of a cached folder if it is there, is of this content, and holds what was written; else None."""
    try:
        described = _described(target)
        files, own = described.pop("files_written"), described.pop("digest")
        if described != json.loads(content) or own != _description_digest(described, files):
            return None
        state = _state(target, files)
        if state not in _verified:
            if any(digest(target / name) != written for name, written in files.items()):
                return None
            _verified.add(state)
        return list(files)
    except _UNREADABLE:
        return None


def _damaged(target: Path) -> bool:
    """Whether something is there that is not merely of a version that wrote no digests."""
    try:
        return "file_bytes" not in _described(target)
    except _UNREADABLE:
        return os.path.lexists(target)


def _described(target: Path) -> Any:
    return json.loads(regular(target / "content.json").read_text(encoding="utf-8"))


def _state(target: Path, names: Mapping[str, str]) -> tuple[Any, ...]:
    facts = [(target / name).stat() for name in sorted(names)]
    return (str(target.resolve()), *((f.st_ino, f.st_size, f.st_mtime_ns) for f in facts))


def _description_digest(described: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([described, files], sort_keys=True).encode()).hexdigest()


def _write(target: Path, made: Mapping[str, np.ndarray], content: str) -> None:
    # Written aside and renamed when complete: a half-written folder has the final name only where the machine fell
    # between the two, and then its files' digests tell.
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for name, array in made.items():
            np.save(aside / f"{name}.npy", array)
        described, files = json.loads(content), {f"{name}.npy": digest(aside / f"{name}.npy") for name in sorted(made)}
        described |= {"digest": _description_digest(described, files), "files_written": files}
        (aside / "content.json").write_text(json.dumps(described, sort_keys=True) + "\n", encoding="utf-8")
        if _whole(target, content) is None:
            _remove(target)
        os.replace(aside, target)
        _verified.add(_state(target, files))
    except OSError:
        if _whole(target, content) is None:  # else another process finished the same folder first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remove(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)

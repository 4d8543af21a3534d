"""The files of the parts: written as a part ends, and read for what is done and for how long it took."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import record
from rnnjax import digests
from rnnjax.errors import UsageError
from rnnjax.files import write_file, write_text

COMMITTED = Path(__file__).resolve().parents[1] / "results" / "accelerator"
"""Where results go by default, in a folder a kind of device."""
TRIED = 2**20
"""Bytes that must fit: more than the files of all parts have."""
REHEARSED = Path("runs/accelerator")
"""Where a rehearsal's go: they are no results."""


def write(folder: Path, name: str, result: dict[str, Any]) -> Path:
    """Writes a part's file whole or not at all; the path.

    Args:
      folder: of the device.
      name: of the part.
      result: JSON values.
    """
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, record.as_text(digests.sealed(record.rounded(result))))
    return path


def source() -> str:
    """A digest of the Python files of this checkout: what ran can be told where no Git is, as in a copy of it."""
    root = COMMITTED.parents[2]
    files = sorted(path for package in ("rnnjax", "experiments") for path in (root / package).rglob("*.py"))
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return digests.of_json(texts)


def check_folder(folder: Path) -> None:
    """Makes the folder and tries whether it can be written, before minutes are spent on what should go there.

    Raises:
      UsageError: if it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        write_file(probe, lambda aside: aside.write_bytes(bytes(TRIED)))
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}); name another by --out FOLDER"
        ) from error


def newest(folders: Sequence[Path], name: str, *, dry: bool) -> dict[str, Any] | None:
    """The newest file of a part in some folders of a device; None where there is none that is as it was written."""
    found = [result for folder in folders if (result := _read(folder / f"{name}.json", dry)) is not None]
    return max(found, key=lambda result: result["finished"], default=None)


def is_done(folders: Sequence[Path], name: str, *, dry: bool) -> bool:
    """Whether a part came to its end, by its newest file there."""
    result = newest(folders, name, dry=dry)
    return result is not None and result["complete"]


def folders_of(root: Path | None, device: str) -> list[Path]:
    """Where files of a device may lie in what a user named: that folder itself, or the device's in it."""
    if root is None:
        return []
    return [root / device, *([root] if root.resolve().name == device else [])]


def _read(path: Path, dry: bool) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        known = isinstance(result["finished"], str) and isinstance(result["complete"], bool)
        known = known and 0 <= float(result["estimate_seconds"]) < float("inf")
        return result if known and digests.is_whole(result) and result["dry"] == dry else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None

"""A user's folder of image files, one sub-folder a class, as arrays of one shape."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data import cache, image_files
from rnnjax.data.examples import Examples, hold_out, labelled
from rnnjax.data.files import digest, hidden
from rnnjax.data.images import ImageFolderData
from rnnjax.errors import DataError, UsageError

_FEWEST = 3
"""Images of a class: one each to train on, to validate and to test."""


class Found(NamedTuple):
    """What lies in a folder.

    Attributes:
      train, test: the examples; ``test`` was cut from ``train`` unless the folder has both.
      class_names: names of the classes in the order of their numbers.
      notes: what the user should know: what was left out, and why.
      places: the files of ``train`` and of ``test``, in their order.
    """

    train: Examples
    test: Examples
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    places: tuple[Sequence[str], Sequence[str]]


def load(config: ImageFolderData) -> Found:
    """Reads a folder of images, in the order of their names; links are followed, hidden files are none of it.

    Raises:
      UsageError: if no folder is named.
      DataError: if there are no classes in it, a class has too few images, a class in ``test`` is
        none in ``train``, or a file or folder cannot be read (unless it is to be skipped).
    """
    if config.data_dir is None:
        raise UsageError("give a folder with one sub-folder of images a class: --data.data-dir FOLDER")
    root = Path(config.data_dir).expanduser()
    folders = _folders(root)
    if {"train", "test"} <= set(folders):
        if beside := sorted(set(folders) - {"train", "test"}):
            raise DataError(
                f"{root}: beside train and test there is {beside[0]}, which is neither; move it away "
                "(validation is cut from train)"
            )
        train, names, notes, places = _read(root / "train", config, None)
        test, _, notes_of_test, places_of_test = _read(root / "test", config, names)
        return Found(train, test, names, notes + notes_of_test, (places, places_of_test))
    every, names, notes, places = _read(root, config, None)
    rest, test = hold_out(every["labels"], config.test_fraction)
    parts = [places[row] for row in rest], [places[row] for row in test]
    return Found(every.take(rest), every.take(test), names, notes, parts)


def _read(
    root: Path, config: ImageFolderData, known: tuple[str, ...] | None
) -> tuple[Examples, tuple[str, ...], tuple[str, ...], list[str]]:
    """Examples, names of the classes (those of the training split where they are ``known``), notes and files."""
    names = tuple(_folders(root))
    if len(names) < 2 and known is None:
        raise DataError(f"{root}: {len(names)} sub-folder(s); a classifier needs two or more, one a class")
    if unknown := sorted(set(names) - set(known or names)):
        raise DataError(f"{root}: the class {unknown[0]!r} is in test and not in train")
    refuse = _Refusals(config.on_bad_file == "skip")
    paths: list[Path] = []
    labels: list[int] = []
    left_out = sum(not hidden(name) for name in os.listdir(root)) - len(names)
    for name in names:
        every = list(_files(root / name, refuse))
        found = [path for path in every if image_files.is_image(path.name)]
        left_out += len(every) - len(found)
        if not found:
            raise DataError(f"{root / name}: there is no image in this class")
        paths += found
        labels += [(known or names).index(name)] * len(found)
    folders = list(refuse.messages)
    read = cache.arrays(
        cache.folder(config.cache_dir), _content(root, paths, config), lambda: _decoded(root, paths, config, refuse)
    )
    refused = folders + json.loads(bytes(read["refused"]))
    kept = np.array(labels, np.int32)[read["kept"]]
    _require_enough(root, names, kept, known)
    notes = [f"{root}: skipped {len(refused)}: {'; '.join(refused)}"] if refused else []
    if left_out:
        notes.append(
            f"{root}: {left_out} file(s) were left out, which are no images by their suffix or lie in no class"
        )
    if absent := sorted(set(known or ()) - set(names)):
        notes.append(f"{root}: no image of {', '.join(absent)}")
    return labelled(read["inputs"], kept), known or names, tuple(notes), [str(paths[n]) for n in read["kept"]]


class _Refusals:
    """What cannot be read: an error, or a message for later."""

    def __init__(self, skip: bool):
        self._skip = skip
        self.messages: list[str] = []

    def __call__(self, message: str) -> None:
        if not self._skip:
            raise DataError(f"{message}; mend or remove it, or skip such files with --data.on-bad-file skip")
        self.messages.append(message)


def _decoded(
    root: Path, paths: list[Path], config: ImageFolderData, refuse: Callable[[str], None]
) -> dict[str, np.ndarray]:
    shape = (config.height, config.width, 3 if config.color == "rgb" else 1)
    inputs, kept, refused = _room_for(root, len(paths), shape), [], []
    with contextlib.closing(image_files.read_all(paths, shape, config.workers)) as every:
        for number, found in enumerate(every):
            if isinstance(found, DataError):
                refuse(str(found))
                refused.append(str(found))
            else:
                inputs[len(kept)] = found
                kept.append(number)
    if not kept:
        raise DataError(f"{root}: none of its {len(paths)} images can be read; the first: {refused[0]}")
    return {
        "inputs": inputs[: len(kept)],
        "kept": np.array(kept),
        "refused": np.frombuffer(json.dumps(refused).encode(), np.uint8),
    }


def _room_for(root: Path, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Room for images, asked for before any is decoded."""
    need, memory = count * math.prod(shape), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > memory:
        raise DataError(
            f"{root}: {count:,} images of {' x '.join(f'{side:,}' for side in shape)} pixels take "
            f"{need / 2**30:,.1f} GiB, and this machine has {memory / 2**30:,.1f} GiB of memory; "
            "lower --data.height and --data.width"
        )
    return np.empty((count, *shape), np.uint8)


def _content(root: Path, paths: list[Path], config: ImageFolderData) -> dict:
    """All that decides the arrays: the names and bytes of the files, but no time, and what is made of them."""
    whole = hashlib.sha256()
    with ThreadPoolExecutor(image_files.decoding_threads(config.workers)) as pool:
        for path, found in zip(paths, pool.map(_digest, paths), strict=True):
            whole.update(json.dumps([str(path.relative_to(root)), found]).encode() + b"\n")
    made = {name: getattr(config, name) for name in ("height", "width", "color", "on_bad_file")}
    return {"kind": "image folder", "files": whole.hexdigest(), **made}


def _digest(path: Path) -> str | None:
    try:
        return digest(path)
    except (OSError, DataError):  # decoding will say what is wrong with it
        return None


def _require_enough(root: Path, names: tuple[str, ...], labels: np.ndarray, known: tuple[str, ...] | None) -> None:
    fewest = 1 if known else _FEWEST
    for name in names:
        count = int((labels == (known or names).index(name)).sum())
        if count < fewest:
            raise DataError(f"{root / name}: {count} readable image(s); a class needs {fewest} or more")


def _folders(root: Path) -> list[str]:
    """Names of the sub-folders that are not hidden, in order."""
    try:
        return sorted(e.name for e in os.scandir(root) if os.path.isdir(e.path) and not hidden(e.name))
    except FileNotFoundError as error:
        raise DataError(f"{root}: no such folder") from error
    except NotADirectoryError as error:
        raise DataError(f"{root}: not a folder; give one with one sub-folder of images a class") from error
    except OSError as error:
        raise DataError(f"{root}: {error.strerror or error}") from error


def _files(folder: Path, refuse: Callable[[str], None], above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """All files below a folder that are not hidden, in the order of their names; links are followed."""
    try:
        facts = os.stat(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        refuse(f"{folder}: {error.strerror or error}")
        return
    here = (facts.st_dev, facts.st_ino)
    if here in above:
        refuse(f"{folder}: a symbolic link to a folder that it lies in")
        return
    for entry in entries:
        if hidden(entry.name):
            continue
        if os.path.isdir(entry.path):  # False, and no error, for a link that leads nowhere
            yield from _files(Path(entry.path), refuse, (*above, here))
        else:
            yield Path(entry.path)

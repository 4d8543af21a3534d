"""A user's images, in a folder or a zip, as splits of arrays of one shape."""

import contextlib
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data import cache, image_facts, image_files, image_layout, image_splits, image_tree
from rnnjax.data.examples import Examples, labelled
from rnnjax.data.files import digest
from rnnjax.data.image_layout import Part
from rnnjax.data.image_tree import Source
from rnnjax.data.images import ImageFolderData
from rnnjax.errors import DataError, UsageError

_SHOWN = 10
"""Files that cannot be read and are named in a note."""


class Found(NamedTuple):
    """What lies in a folder.

    Attributes:
      splits: the examples of train, validation and test.
      places: the file of each example.
      class_names: names of the classes in the order of their numbers.
      understood: what was found out, a line each.
      notes: what the user should know: what was left out, and why.
    """

    splits: Mapping[str, Examples]
    places: Mapping[str, tuple[str, ...]]
    class_names: tuple[str, ...]
    understood: tuple[str, ...]
    notes: tuple[str, ...]


def load(config: ImageFolderData) -> Found:
    """Reads a folder or zip of images, in the order of their names; links are followed, hidden files are none of it.

    Raises:
      UsageError: if none is named.
      DataError: if there are no classes in it, a class has too few images, a class in another split is
        none in ``train``, it can be understood in two ways, or a file or folder cannot be read (unless it is to be
        skipped).
    """
    if config.data_dir is None:
        raise UsageError("give a folder with one sub-folder of images a class: --data.data-dir FOLDER")
    image_tree.require_local(config.data_dir)
    refuse = _Refusals(config.on_bad_file == "skip")
    tree = image_tree.tree(Path(config.data_dir).expanduser(), refuse)
    layout = image_layout.find(tree, config.reading, refuse)
    names = _names(layout.splits)
    parts = [_read(part, split, names, layout.splits, config, refuse) for split, part in layout.splits.items()]
    read = dict(zip(layout.splits, parts, strict=True))
    cut = image_splits.cut({split: part.split for split, part in read.items()}, names, tree.root, config)
    notes = [*layout.notes, *(note for part in parts for note in part.notes), *cut.notes, *image_facts.alike(names)]
    if refuse.messages:
        notes.insert(0, f"{tree.root}: skipped {_listed(refuse.messages)}")
    sizes = np.concatenate([part.sizes for part in parts])
    understood = [*layout.understood, *cut.understood, image_facts.sizes(sizes, config.width, config.height)]
    return Found(cut.examples, cut.places, names, tuple(understood), tuple(notes))


def labelled_images(
    path: Path, reading: image_layout.Reading, names: Sequence[str], shape: tuple[int, int, int], center: bool
) -> tuple[Examples, tuple[str, ...]]:
    """New labelled images of the same kind, all of them, and their files.

    Args:
      path: a folder or a zip of any layout but one of splits.
      reading: how the classes of training were found.
      names: the classes of training.
      shape: (height, width, channels) to read them as.
      center: as of :func:`rnnjax.data.image_files.read`.

    Raises:
      DataError: if an image cannot be read, or is of another class.
    """
    image_tree.require_local(str(path))

    def refuse(message: str) -> None:
        raise DataError(f"{message}; mend or remove it")

    tree = image_tree.tree(path, refuse)
    layout = image_layout.find(tree, reading, refuse, names)
    if len(layout.splits) > 1:
        listed = ", ".join(str(part.root) for part in layout.splits.values())
        raise DataError(f"{path}: there are several splits in it; evaluate one of them: {listed}")
    (part,) = layout.splits.values()
    if not part.images:
        raise DataError(f"{part.root}: there is no image of a class in it")
    number = {name: number for number, name in enumerate(names)}
    for image in part.images:
        if image.label not in number:
            raise DataError(f"{image.entry.source}: the class {image.label!r} is none of training: {', '.join(names)}")
    sources = [image.entry.source for image in part.images]
    inputs = _room_for(part.root, len(sources), shape)
    with contextlib.closing(image_files.read_all(sources, shape, center=center)) as every:
        for row, found in enumerate(every):
            if isinstance(found, DataError):
                refuse(str(found))
            else:
                inputs[row] = found.pixels
    labels = np.array([number[image.label] for image in part.images], np.int32)
    return labelled(inputs, labels), tuple(map(str, sources))


class _Refusals:
    """What cannot be read: an error, or a message for later."""

    def __init__(self, skip: bool):
        self._skip = skip
        self.messages: list[str] = []

    def check(self, message: str) -> None:
        """Raises DataError unless what cannot be read is to be skipped."""
        if not self._skip:
            raise DataError(f"{message}; mend or remove it, or skip such files with --data.on-bad-file skip")

    def __call__(self, message: str) -> None:
        self.check(message)
        self.messages.append(message)


def _names(splits: Mapping[str, Part]) -> tuple[str, ...]:
    """The classes of training; raises DataError if they are fewer than two or another split has others."""
    train = splits["train"]
    names = tuple(sorted({image.label for image in train.images}))
    if len(names) < 2:
        what = "sub-folder(s)" if train.by_folder or not names else "class(es)"
        raise DataError(f"{train.root}: {len(names)} {what}; a classifier needs two or more, one a class")
    known = set(names)
    for split, part in splits.items():
        for image in part.images:
            if image.label not in known:
                raise DataError(
                    f"{part.root}: the class {image.label!r} is in {split} and not in train: {image.entry.source}"
                )
        if not part.images:
            raise DataError(f"{part.root}: there is no image of a class in it, which is to be {split}")
    return names


class _Read(NamedTuple):
    """The images of a split as they were decoded.

    Attributes:
      split: examples and their files.
      sizes: (width, height) of each file ``[N, 2]``.
      notes: what is missing.
    """

    split: image_splits.Split
    sizes: np.ndarray
    notes: tuple[str, ...]


def _read(
    part: Part,
    split: str,
    names: tuple[str, ...],
    splits: Mapping[str, Part],
    config: ImageFolderData,
    refuse: "_Refusals",
) -> _Read:
    sources = [image.entry.source for image in part.images]
    decode = functools.partial(_decoded, part.root, sources, config, refuse.check)
    read = cache.arrays(cache.folder(config.cache_dir), _content(part, config), decode)
    for message in json.loads(bytes(read["refused"])):
        refuse(message)
    kept = read["kept"]
    number = {name: number for number, name in enumerate(names)}
    labels = np.array([number[image.label] for image in part.images], np.int32)[kept]
    fewest = 1 + (len({"validation", "test"} - set(splits)) if split == "train" else 0)
    present, counts = sorted({image.label for image in part.images}), np.bincount(labels, minlength=len(names))
    for name in present:
        if counts[number[name]] < fewest:
            where = part.root / name if part.by_folder else f"{part.root}: the class {name!r}"
            raise DataError(f"{where}: {counts[number[name]]} readable image(s); a class needs {fewest} or more")
    absent = [name for name in names if name not in present]
    notes = (f"{part.root}: no image of {', '.join(absent)}",) if absent else ()
    places = tuple(str(sources[row]) for row in kept.tolist())
    return _Read(image_splits.Split(labelled(read["inputs"], labels), places), read["sizes"], notes)


def _listed(messages: Sequence[str]) -> str:
    more = f"; and {len(messages) - _SHOWN:,} more" if len(messages) > _SHOWN else ""
    return f"{len(messages):,}: {'; '.join(messages[:_SHOWN])}{more}"


def _decoded(
    root: Path, sources: Sequence[Source], config: ImageFolderData, check: Callable[[str], None]
) -> dict[str, np.ndarray]:
    shape = (config.height, config.width, 3 if config.color == "rgb" else 1)
    inputs, kept, refused = _room_for(root, len(sources), shape), [], []
    sizes = []
    with contextlib.closing(image_files.read_all(sources, shape, config.workers)) as every:
        for number, found in enumerate(every):
            if isinstance(found, DataError):
                check(str(found))
                refused.append(str(found))
            else:
                inputs[len(kept)] = found.pixels
                kept.append(number)
                sizes.append(found.size)
    if not kept:
        raise DataError(f"{root}: none of its {len(sources)} images can be read; the first: {refused[0]}")
    return {
        "inputs": inputs[: len(kept)],
        "kept": np.array(kept),
        "sizes": np.array(sizes, np.int32),
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


def _content(part: Part, config: ImageFolderData) -> dict:
    """All that decides the arrays: the names and bytes of the files, but no time, and what is made of them."""
    whole, heif = hashlib.sha256(), False
    with ThreadPoolExecutor(image_files.decoding_threads(config.workers)) as pool:
        found = pool.map(lambda image: _digest(image.entry.source), part.images)
        for image, content in zip(part.images, found, strict=True):
            whole.update(json.dumps(["/".join(image.entry.parts), content]).encode() + b"\n")
            heif |= Path(image.entry.parts[-1]).suffix.lower() in image_files.HEIF
    made = {name: getattr(config, name) for name in ("height", "width", "color", "on_bad_file")}
    plugin = {"heif": image_files.reads_heif()} if heif else {}
    return {"kind": "image files with sizes", "files": whole.hexdigest(), **made, **plugin}


def _digest(source: Source) -> str | None:
    try:
        return digest(source) if isinstance(source, Path) else hashlib.sha256(source.read_bytes()).hexdigest()
    except (OSError, DataError):  # decoding will say what is wrong with it
        return None

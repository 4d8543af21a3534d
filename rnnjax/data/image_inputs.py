"""What ``predict`` reads of images: files, folders and zips of them, and lists of such."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data import archives, image_files, image_tree, reading
from rnnjax.data.image_tree import Source
from rnnjax.data.reading import Input, unreadable
from rnnjax.errors import DataError

_SHOWN = 3

ReadFile = Callable[[Source], np.ndarray]


def inputs(paths: Sequence[str], stdin: Any, read: ReadFile) -> list[Input]:
    """An input for each image.

    A folder or zip is searched with all that is in it; hidden files are none of it, and how many others were left out
    is said on stderr.

    Args:
      paths: of images, folders and zips; ``-`` for a list of these on the standard input, one a line.
      stdin: the standard input.
      read: reads an image.
    """
    found: list[Input] = []
    for path in paths:
        try:
            if path == "-":
                found += inputs([line for line in reading.documents("-", stdin) if line != "-"], None, read)
            else:
                found += _of_path(path, read)
        except DataError as error:
            found.append((path, unreadable(str(error))))
    return found


def _of_path(path: str, read: ReadFile) -> list[Input]:
    image_tree.require_local(path)
    if not os.path.isdir(path) and not archives.is_zip(Path(path)):
        return [(path, functools.partial(read, Path(path)))]
    found: list[Input] = []
    tree = image_tree.tree(Path(path), lambda message: found.append((message.partition(": ")[0], unreadable(message))))
    images = image_files.images(tree)
    found += [(str(entry.source), functools.partial(read, entry.source)) for entry in images]
    if not found:
        what = "zip" if archives.is_zip(Path(path)) else "folder"
        raise DataError(f"{path}: no images in this {what}")
    _say_left_out(path, [entry.parts for entry in tree.files if not image_files.is_image(entry.parts[-1])])
    return found


def _say_left_out(path: str, parts: Sequence[tuple[str, ...]]) -> None:
    if parts:
        names = ", ".join(map("/".join, parts[:_SHOWN])) + ", ..." * (len(parts) > _SHOWN)
        note = f"note: {path}: {len(parts):,} file(s) were left out, which are no images by their suffix: {names}"
        print(note.encode("utf-8", "replace").decode(), file=sys.stderr)

"""Classes by the names of files in one folder, such as ``cat.0.jpg`` and ``dog_17.jpg``, where that is plain."""

import re
from collections import Counter
from collections.abc import Sequence

from rnnjax.data.image_tree import Entry

_NAME = re.compile(r"(?P<name>[^\W\d_](?:[^\d]*[^\W\d_])?)[ ._-]*\(?\d+\)?")
"""Letters, blanks and marks that begin and end with a letter, then a number and nothing more."""

_CAMERAS = re.compile(
    r"(img|image|images|dsc|dscn|dscf|dcim|pxl|photo|photos|pic|picture|mvi|gopr|gh|p|scan|screen ?shot|frame|file"
    r"|untitled|whatsapp image|signal|bild|foto|train|val|test|sample|im|imag|sam|cimg|mg|snapshot|capture)",
)
"""What cameras and programs call any file."""

_FEWEST = 3


def plain(images: Sequence[Entry]) -> list[str]:
    """The class that each file's name begins with; none where a name has none, or these are hardly classes.

    There are two classes or more with at least three images each on average, and no name that a camera gives.
    """
    found = []
    for entry in images:
        match = _NAME.fullmatch(entry.parts[-1].rpartition(".")[0])
        if match is None or _CAMERAS.fullmatch(match["name"].lower().rstrip("_- ").replace("_", " ")):
            return []
        found.append(match["name"])
    counts = Counter(found)
    return found if len(counts) >= 2 and len(found) >= _FEWEST * len(counts) else []

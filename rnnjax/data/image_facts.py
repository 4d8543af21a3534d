"""What a user should see of a folder of images before training: a line for each fact, a note for what looks wrong."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_SHOWN = 10
_EXAMPLES = 3

Copies = Mapping[str, Sequence[bytes]]
"""By split, what tells the pixels of each image."""


def pixels(images: np.ndarray) -> list[bytes]:
    """What is alike for images ``[N, height, width, channels]`` of the same pixels, and differs for all others."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def classes(names: Sequence[str], labels: Mapping[str, np.ndarray]) -> str:
    """How many images of each class are in each split, the most frequent classes first."""
    counts = {split: np.bincount(numbers, minlength=len(names)) for split, numbers in labels.items()}
    total = np.sum(list(counts.values()), 0)
    ranked = sorted(range(len(names)), key=lambda number: (-total[number], names[number]))
    shown = [f"{names[number]!r} {' / '.join(f'{of[number]:,}' for of in counts.values())}" for number in ranked]
    if len(shown) > _SHOWN:
        shown = [*shown[: _SHOWN - 1], f"{len(shown) - _SHOWN:,} more", shown[-1]]
    return f"{len(names):,} classes, images in {' / '.join(counts)}: {', '.join(shown)}"


def sizes(widths_heights: np.ndarray, width: int, height: int) -> str:
    """The sizes of files ``[N, 2]`` (width, height) in pixels, and how many are smaller than what is made of them."""
    middle = np.median(widths_heights, 0)
    small = int((widths_heights < (width, height)).any(1).sum())
    every = f"{middle[0]:g} x {middle[1]:g} pixels"
    if (widths_heights != widths_heights[0]).any():
        (wide, high), (widest, highest) = widths_heights.min(0), widths_heights.max(0)
        every = f"{wide:,} to {widest:,} pixels wide and {high:,} to {highest:,} high, median {every}"
    enlarged = f"; {small:,} of {len(widths_heights):,} are enlarged" if small else ""
    return f"images of {every}, read as {width} x {height}{enlarged}"


def copies(found: Copies) -> Iterator[str]:
    """How many images occur more than once."""
    counts: dict[bytes, int] = defaultdict(int)
    for keys in found.values():
        for key in keys:
            counts[key] += 1
    several = [count for count in counts.values() if count > 1]
    if several:
        every = sum(map(len, found.values()))
        yield f"{sum(several):,} of {every:,} images are copies of {len(several):,} (the same pixels as they are read)"


def crossing(found: Copies, places: Mapping[str, Sequence[str]], given: Sequence[str]) -> Iterator[str]:
    """Notes that name an image of each given split that is also in training; how many there are is said of any data."""
    first = dict(zip(reversed(found["train"]), reversed(places["train"]), strict=True))
    for split in given:
        also = [(place, first[key]) for key, place in zip(found[split], places[split], strict=True) if key in first]
        if also:
            yield f"copies in {split} of images in training, such as {also[0][0]} of {also[0][1]}, test no new image"


def contradictions(
    found: Copies, labels: Mapping[str, np.ndarray], places: Mapping[str, Sequence[str]], names: Sequence[str]
) -> Iterator[str]:
    """A note of images that are in two classes."""
    first: dict[bytes, tuple[int, str]] = {}
    shown: dict[bytes, str] = {}
    for split, keys in found.items():
        for key, label, place in zip(keys, labels[split].tolist(), places[split], strict=True):
            other, where = first.setdefault(key, (label, place))
            if other != label:
                shown.setdefault(key, f"{where} is {names[other]!r} and {place} {names[label]!r}")
    if shown:
        listed = "; ".join(list(shown.values())[:_EXAMPLES]) + "; ..." * (len(shown) > _EXAMPLES)
        yield f"{len(shown):,} image(s) are in two classes, of which no more than one can be right: {listed}"


def alike(names: Sequence[str]) -> Iterator[str]:
    """A note of classes whose names differ by case, blanks or the like alone."""
    spelled = defaultdict(list)
    for name in names:
        spelled[re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name)).strip().casefold()].append(name)
    several = [same for same in spelled.values() if len(same) > 1]
    if several:
        listed = "; ".join(" and ".join(map(repr, same)) for same in several[:_EXAMPLES])
        yield (
            f"classes whose names differ by case or blanks alone are classes of their own: {listed}"
            f"{'; ...' * (len(several) > _EXAMPLES)}; name them alike if they are the same"
        )

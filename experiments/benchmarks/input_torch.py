"""The PyTorch that streamed images are compared with: a DataLoader over files that Pillow decodes and crops.

It does what torchvision's ``RandomResizedCrop`` and ``RandomHorizontalFlip`` do, but that Pillow crops and resizes in
one call. PyTorch is imported where it is used: the comparison of pixels does without it.
"""

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_TRIES = 10


class Crops:
    """A data set of files, as a DataLoader takes it.

    Args:
      files: JPEGs.
      size: height and width of the crops, in pixels.
      least_area: smallest share of an image's area that a crop shows.
      draft: whether a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the crop needs no more.
    """

    def __init__(self, files: Sequence[str], size: int, least_area: float, *, draft: bool):
        self._files, self._size, self._least_area, self._draft = list(files), size, least_area, draft

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> Any:
        from PIL import Image

        with Image.open(self._files[number]) as image:
            box = sampled(*image.size, self._least_area)
            flip = _torch().rand(1).item() < 0.5
            return _torch().from_numpy(cropped(image, box, self._size, flip=flip, draft=self._draft))


def sampled(width: int, height: int, least_area: float) -> tuple[int, int, int, int]:
    """Left, top, width and height as ``RandomResizedCrop`` draws them."""
    torch = _torch()
    for _ in range(_TRIES):
        area = width * height * torch.empty(1).uniform_(least_area, 1).item()
        ratio = math.exp(torch.empty(1).uniform_(math.log(3 / 4), math.log(4 / 3)).item())
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = torch.randint(0, height - h + 1, (1,)).item()
            return int(torch.randint(0, width - w + 1, (1,)).item()), int(top), w, h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - w) // 2, (height - h) // 2, w, h


def cropped(image: Any, box: tuple[int, int, int, int], size: int, *, flip: bool, draft: bool) -> np.ndarray:
    """A box of a PIL image, left, top, width and height, at one size: ``[size, size, 3]`` uint8."""
    from PIL import Image

    (left, top, width, height), (full_width, full_height) = box, image.size
    if draft:
        image.draft("RGB", (math.ceil(full_width * size / width), math.ceil(full_height * size / height)))
    image = image.convert("RGB")
    x, y = image.size[0] / full_width, image.size[1] / full_height
    right, bottom = min((left + width) * x, image.size[0]), min((top + height) * y, image.size[1])
    crop = image.resize((size, size), Image.Resampling.BILINEAR, box=(left * x, top * y, right, bottom))
    return np.array(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else crop)


def stream(images: Crops, batch: int, workers: int) -> Callable[[], int]:
    """A function that loads one epoch in so many processes, drops it, and returns how many images it was.

    The processes stay from epoch to epoch. They are started anew: a copy of one in which JAX has threads may hang.
    """
    loader = _torch().utils.data.DataLoader(
        images,
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    return lambda: sum(len(loaded) for loaded in loader)


@functools.cache
def _torch() -> Any:
    return importlib.import_module("torch")  # of the extra bench; without it, only this peer fails

"""Folders of small pictures for tests: of noise, so that no two are alike."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from rnnjax import data
from rnnjax.config import ImageFolderData


def picture(path: Path, seed: int | None = None) -> Path:
    """A picture of noise, by default another one for each path's last three parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = sum(n * ord(c) for n, c in enumerate("/".join(path.parts[-3:]), 1)) if seed is None else seed
    Image.fromarray(np.random.default_rng(key).integers(0, 255, (7, 9, 3), np.uint8)).save(path)
    return path


def classes(root: Path, names=("cat", "dog"), count=4) -> Path:
    """A folder of pictures for each class."""
    for name in names:
        for number in range(count):
            picture(root / name / f"{number}.png")
    return root


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    """A folder as Macs pack it."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder)
            archive.write(file, f"{inside}{name}")
            archive.writestr(f"__MACOSX/{inside}{name.parent}/._{name.name}", b"what Macs leave")
        archive.writestr(f"{inside}.DS_Store", b"what Macs leave")
    return path


def loaded(root, **options):
    """The data set of a folder."""
    options = {"height": 7, "width": 9, "batch_size": 4, "validation_fraction": 0.25, **options}
    return data.load(ImageFolderData(data_dir=str(root), **options))

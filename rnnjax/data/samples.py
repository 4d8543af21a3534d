"""A few inputs left in the work folder, so that there is something to try prediction on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnjax.data.examples import Dataset
from rnnjax.data.preprocess import TextPreprocess


def save(dataset: Dataset, texts: Sequence[str], folder: Path) -> None:
    """Writes five test images as PNG, or ``texts``, else the data set's, as one file with a document a line."""
    folder.mkdir(exist_ok=True)
    if isinstance(dataset.preprocess, TextPreprocess):
        lines = "".join(f"{' '.join(text.split())}\n" for text in texts or dataset.sample_texts)
        if lines:
            (folder / "samples.txt").write_text(lines, encoding="utf-8", errors="replace")
        return
    from PIL import Image

    images = np.asarray(dataset.test.inputs[:5])
    if images.dtype != np.uint8:
        images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / f"test-{number}.png")


def listed(folder: Path) -> list[Path]:
    """The sample files in a folder."""
    return sorted(folder.glob("*")) if folder.is_dir() else []

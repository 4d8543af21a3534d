"""A few inputs left in the work folder, so that there is something to try prediction on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnnjax.data.examples import Dataset
from rnnjax.data.preprocess import TextPreprocess
from rnnjax.files import write_file, write_text


def save(dataset: Dataset, texts: Sequence[str], folder: Path) -> None:
    """Writes five test images as PNG, or ``texts``, else the data set's, as one file with a document a line."""
    folder.mkdir(exist_ok=True)
    if isinstance(dataset.preprocess, TextPreprocess):
        lines = "".join(f"{' '.join(text.split())}\n" for text in texts or dataset.sample_texts)
        if lines:
            write_text(folder / "samples.txt", lines.encode("utf-8", "replace").decode("utf-8"))
        return
    from PIL import Image

    images = np.asarray(dataset.test.inputs[:5])
    if images.dtype != np.uint8:
        images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    for number, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        write_file(folder / f"test-{number}.png", picture.save)


def listed(folder: Path) -> list[Path]:
    """The sample files in a folder."""
    return sorted(folder.glob("*")) if folder.is_dir() else []

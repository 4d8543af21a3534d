"""Images of one size, normalised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from rnnjax.data import image_files, image_inputs, pixel_order
from rnnjax.data.image_lists import Reading
from rnnjax.data.image_tree import Source
from rnnjax.data.preprocess import Preprocess, one_where_constant, require, strings
from rnnjax.data.reading import Input
from rnnjax.data.spec import Shape, Spec
from rnnjax.errors import DataError, UsageError
from rnnjax.files import write_file


@dataclass(frozen=True)
class ImagePreprocess(Preprocess):
    """Images of one size, normalised by the training split's mean and standard deviation.

    Attributes:
      shape: (height, width, channels) in pixels.
      mean, std: one value a channel, of pixels scaled to 0..1; a channel that is constant has std 1.
      class_names: names of the classes in the order of their numbers.
      center_crop: whether a file of another size is cropped as the evaluation's images were, or only resized.
      order: of the pixels that the model sees, by their numbers from left to right and from above to below; empty: as
        they lie.
      reading: how a folder says its images' classes; None: the model was not trained on a folder.
    """

    kind: ClassVar[str] = "image"
    wanted: ClassVar[str] = "image files, folders or zips of them, or - for a list of such on the standard input"
    read_as: ClassVar[str | None] = "uint8"
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    center_crop: bool = False
    order: tuple[int, ...] = ()
    reading: Reading | None = field(default=None, compare=False)

    def __post_init__(self):
        pixel_order.check(self.order, self.shape)

    @classmethod
    def fit(cls, images: np.ndarray, class_names: Sequence[str]) -> Self:
        """Takes the statistics of training images ``[N, height, width, channels]``."""
        scale = _scale(images)
        mean = images.mean((0, 1, 2), dtype=np.float64) * scale
        std = one_where_constant(images.std((0, 1, 2), dtype=np.float64) * scale, mean, images[..., 0].size)
        return cls(tuple(images.shape[1:]), tuple(mean.tolist()), tuple(std.tolist()), tuple(class_names))

    @property
    def spec(self) -> Spec:
        """Normalised images ``[1, height, width, channels]``, and an output a class."""
        inputs = {"inputs": Shape((1, *self.shape), np.dtype(np.float32))}
        return Spec(inputs, outputs=len(self.class_names), names=self.class_names)

    def normalize(self, images: Any) -> Any:
        """Stored pixels ``[..., channels]`` to the model's float32, inside or outside a compiled step."""
        mean = jnp.asarray(self.mean, jnp.float32)
        std = jnp.asarray(self.std, jnp.float32)
        return (images.astype(jnp.float32) * _scale(images) - mean) / std

    def on_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with normalised images, their pixels in order."""
        return {**batch, "inputs": pixel_order.reordered(self.normalize(batch["inputs"]), self.order)}

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Images ``[N, height, width, channels]`` of uint8 or floats in 0..1."""
        try:
            images = np.asarray(raw)
        except ValueError:  # arrays of several sizes
            images = np.asarray(None)
        if images.dtype.kind in "OSU":
            raise DataError(
                "images must be one array of numbers, not paths or arrays of several sizes; files of any size are read "
                "by predictor.predict_file(path)"
            )
        if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
            raise DataError(f"images must be uint8 (0..255) or floats (0..1), got {images.dtype}; .astype(np.uint8)?")
        if images.shape[1:] != self.shape:
            shape = f"[B, {', '.join(map(str, self.shape))}]"
            raise DataError(
                f"images must have shape {shape}, got {images.shape}; files of any size are read and resized as in "
                "training by predictor.predict_file(path)"
            )
        return {"inputs": images}

    def read_file(self, path: Source) -> np.ndarray:
        """Reads an image file as uint8 of this shape, by :func:`rnnjax.data.image_files.read`.

        Raises:
          DataError: if the file is missing or is no readable image.
        """
        return image_files.read(path, self.shape, center=self.center_crop)

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> list[Input]:
        """Image files, folders and zips of them, and on the standard input (``-``) a list of such."""
        if texts:
            raise UsageError("--text: this is an image classifier; give image files")
        return image_inputs.inputs(paths, stdin, self.read_file)

    def labelled(self, path: str | Path) -> Any:
        """New labelled images: a folder or zip with a folder a class, or with a table of labels.

        Raises:
          DataError: if one cannot be read, or is of a class that training had not.
        """
        from rnnjax.data.folder import labelled_images

        how = (self.reading or Reading(), self.class_names, self.shape, self.center_crop)
        examples, files = labelled_images(Path(path), *how)
        return replace(examples, places=files)

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """Five images of the test split as PNG."""
        from PIL import Image

        images = np.asarray((dataset.test or dataset.validation)["inputs"][:5])
        if images.dtype != np.uint8:
            images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
        for number, image in enumerate(images):
            picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            write_file(folder / f"test-{number}.png", picture.save)

    def reads_alike(self, other: Preprocess) -> bool:
        """Whether another data set's images have the same size and classes; its own statistics do not count."""
        theirs = getattr(other, "shape", None), getattr(other, "class_names", None)
        return theirs == (self.shape, self.class_names)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values = asdict(self) | {"kind": self.kind}
        for name in ("reading", "order"):
            if not values[name]:
                del values[name]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        shape = values["shape"]
        require(isinstance(shape, list) and len(shape) == 3, "shape", shape)
        require(all(type(side) is int and side > 0 for side in shape), "shape", shape)
        height, width, channels = shape
        mean, std = (tuple(values[name]) for name in ("mean", "std"))
        for name, numbers in (("mean", mean), ("std", std)):
            fine = all(isinstance(number, int | float) and math.isfinite(number) for number in numbers)
            require(len(numbers) == channels and fine, name, list(numbers))
        require(min(std) > 0, "std", list(std))
        names, crop = strings(values, "class_names", 2), bool(values.get("center_crop", False))
        reading = Reading.from_json(values["reading"]) if values.get("reading") else None
        order = values.get("order", [])
        require(isinstance(order, list) and all(type(place) is int for place in order), "order", order)
        try:
            return cls((height, width, channels), mean, std, names, crop, tuple(order), reading)
        except UsageError as error:
            raise ValueError(str(error)) from error


def _scale(images: Any) -> float:
    return 1 / 255 if images.dtype == np.uint8 else 1.0

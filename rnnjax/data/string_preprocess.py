"""Images of strings, such as a line of digits, as sequences of columns of pixels; what is written is a token a sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from rnnjax.data import image_files, image_inputs
from rnnjax.data.image_tree import Source
from rnnjax.data.preprocess import Preprocess, require
from rnnjax.data.reading import Input
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.token_sets import TokenSet
from rnnjax.errors import DataError, UsageError
from rnnjax.files import write_file


@dataclass(frozen=True)
class StringPreprocess(Preprocess):
    """Grey images of one height and any width, stored column by column as ``[N, S, height]`` of uint8 with lengths.

    Attributes:
      height: of an image in pixels.
      columns: most pixels of its width.
      target: the tokens that are written.
      target_length: the most of them, with the end.
      mean, std: of pixels scaled to 0..1, over the columns of training images.
    """

    kind: ClassVar[str] = "image_strings"
    wanted: ClassVar[str] = "image files, folders or zips of them, or - for a list of such on the standard input"
    rows: ClassVar[str] = "images"
    height: int
    columns: int
    target: TokenSet
    target_length: int
    mean: float
    std: float

    @property
    def spec(self) -> Spec:
        """Normalised columns ``[1, S, height]`` with lengths, targets ``[1, T]``, and an output a token."""
        int32, names = np.dtype(np.int32), self.target.vocabulary.words
        inputs = {
            "inputs": Shape((1, self.columns, self.height), np.dtype(np.float32)),
            "lengths": Shape((1,), int32),
            "targets": Shape((1, self.target_length), int32),
        }
        return Spec(inputs, len(names), names=names)

    def stored(self, spec: Spec) -> dict[str, Shape]:
        """The columns are stored as uint8."""
        columns = Shape(spec.inputs["inputs"].shape, np.dtype(np.uint8))
        return {**spec.inputs, "inputs": columns}

    def on_device(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with normalised columns, as float32."""
        scaled = batch["inputs"].astype(np.float32) / np.float32(255)
        return {**batch, "inputs": (scaled - np.float32(self.mean)) / np.float32(self.std)}

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """Images ``[height, width]`` of uint8, a list or an array of them, and ``targets [N, 0]``: nobody knows them.

        Raises:
          DataError: if they are none, or of another height, or wider than those of training.
        """
        images = [self.checked(np.asarray(image), f"image {number}") for number, image in enumerate(raw)]
        inputs = np.zeros((len(images), self.columns, self.height), np.uint8)
        for row, image in zip(inputs, images, strict=True):
            row[: image.shape[1]] = image.T
        lengths = np.array([image.shape[1] for image in images], np.int32)
        return {"inputs": inputs, "lengths": lengths, "targets": np.zeros((len(images), 0), np.int32)}

    def checked(self, image: np.ndarray, place: str) -> np.ndarray:
        """An image that the model reads; raises DataError, naming the place, where it is none."""
        if image.ndim != 2 or image.dtype != np.uint8 or len(image) != self.height or not image.shape[1]:
            got = f"{image.dtype} {list(image.shape)}"
            raise DataError(f"{place}: wanted uint8 pixels [{self.height}, width], got {got}; several are a list")
        if image.shape[1] > self.columns:
            raise DataError(f"{place}: {image.shape[1]:,} pixels wide; images in training had up to {self.columns:,}")
        return image

    def read_file(self, path: Source) -> np.ndarray:
        """Reads an image file as grey pixels of this height, its sides in proportion.

        Raises:
          DataError: if the file is missing, no readable image, or wider than those of training.
        """
        width, height = image_files.size(path)
        wide = max(round(width * self.height / height), 1)
        if wide > self.columns:
            raise DataError(
                f"{path}: {width} x {height} pixels are {wide:,} x {self.height} here; images in training were up to "
                f"{self.columns:,} wide"
            )
        return image_files.read(path, (self.height, wide, 1))[..., 0]

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> list[Input]:
        """Image files, folders and zips of them, and on the standard input (``-``) a list of such."""
        if texts:
            raise UsageError("--text: this reads images; give image files")
        return image_inputs.inputs(paths, stdin, self.read_file)

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Any) -> None:
        """Five images of the test split as PNG."""
        from PIL import Image

        for number in range(min(5, len(dataset.test))):
            columns = dataset.test["inputs"][number][: dataset.test.lengths[number]]
            write_file(folder / f"test-{number}.png", Image.fromarray(np.asarray(columns).T).save)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        sizes = {name: getattr(self, name) for name in ("height", "columns", "target_length", "mean", "std")}
        return {"kind": self.kind, **sizes, "target": self.target.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        sizes = {name: values[name] for name in ("height", "columns", "target_length")}
        for name, value in sizes.items():
            require(type(value) is int and value > 0, name, value)
        mean, std = values["mean"], values["std"]
        require(all(isinstance(number, int | float) for number in (mean, std)) and std > 0, "std", std)
        return cls(**sizes, target=TokenSet.from_json(values["target"]), mean=mean, std=std)

"""Examples as arrays, checked when they come in, and data sets made of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.data.encoded import EncodedImages
from rnnjax.data.preprocess import Preprocess
from rnnjax.errors import DataError


@dataclass(frozen=True)
class Examples:
    """One split, as it is stored: nothing normalised, nothing augmented.

    Attributes:
      inputs: images ``[N, height, width, channels]`` (uint8 0..255, or finite floats), or word ids
        ``[N, T]`` (int32); or images that are still encoded.
      labels: ``[N]`` int32.
      lengths: ``[N]`` int32, how many of a row's T ids are words; None for images.

    Raises:
      DataError: if a split is empty, an array has another shape or dtype, they disagree in length, a
        length lies outside 0..T, or a float is not finite.
    """

    inputs: Any  # an array, or EncodedImages in its place
    labels: np.ndarray
    lengths: np.ndarray | None = None

    def __post_init__(self):
        self._check_shapes()
        if len(self.labels) == 0:
            raise DataError("a split is empty: there is no example in it")
        if len(self.inputs) != len(self.labels):
            raise DataError(f"{len(self.inputs)} inputs but {len(self.labels)} labels")
        if not np.issubdtype(self.labels.dtype, np.integer):
            raise DataError(f"labels must be integers, got {self.labels.dtype}")
        if self.lengths is not None:
            self._check_lengths(self.lengths)
        self._check_finite()

    def _check_shapes(self) -> None:
        """One label a row: of any other shape, broadcasting would make a wrong accuracy without an error."""
        shape = np.shape(self.labels)
        if not hasattr(self.labels, "dtype"):
            raise DataError(f"labels must be an array [N] of integers, got a {type(self.labels).__name__}")
        if len(shape) != 1:
            hint = "" if len(shape) != 2 else "; take labels[:, 0]" if shape[1] == 1 else "; take labels.argmax(-1)"
            raise DataError(f"labels must be one integer an example, [N], got {list(shape)}{hint}")
        if len(getattr(self.inputs, "shape", ())) < 2:
            got = list(getattr(self.inputs, "shape", [])) or type(self.inputs).__name__
            raise DataError(f"inputs must be an array with a row an example, [N, ...] with two axes or more, got {got}")

    def _check_lengths(self, lengths: np.ndarray) -> None:
        if np.ndim(lengths) != 1:
            raise DataError(f"lengths must be one integer an example, [N], got {list(np.shape(lengths))}")
        if len(lengths) != len(self.labels):
            raise DataError(f"{len(lengths)} lengths but {len(self.labels)} labels")
        if not np.issubdtype(lengths.dtype, np.integer):
            raise DataError(f"lengths must be integers, got {lengths.dtype}")
        steps = self.inputs.shape[1]
        outside = (lengths < 0) | (lengths > steps)
        if outside.any():
            row = int(outside.argmax())
            raise DataError(f"lengths must lie in 0..{steps}, example {row} got {int(lengths[row])}")

    def _check_finite(self) -> None:
        if self.inputs.dtype.kind in "biu":
            return
        try:
            if self.inputs.dtype.kind not in "fV":  # V: bfloat16 and its like, which NumPy does not count as floats
                raise TypeError
            bad = ~np.isfinite(np.reshape(np.asarray(self.inputs), (len(self.inputs), -1))).all(-1)
        except TypeError:
            raise DataError(f"inputs must be integers or floats, got {self.inputs.dtype}") from None
        if bad.any():
            raise DataError(f"inputs hold NaN or infinity, first in example {int(bad.argmax())}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.arrays().values())

    @property
    def streamed(self) -> bool:
        """Whether the inputs are decoded anew whenever they are used."""
        return isinstance(self.inputs, EncodedImages)

    def arrays(self) -> dict[str, Any]:
        """The arrays by name, without ``lengths`` where there are none."""
        arrays = {"inputs": self.inputs, "labels": self.labels, "lengths": self.lengths}
        return {name: array for name, array in arrays.items() if array is not None}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the inputs, labels and lengths; of encoded images, of what tells their files apart."""
        parts = {
            name: a.source if isinstance(a, EncodedImages) else digests.of_array(a) for name, a in self.arrays().items()
        }
        if isinstance(self.inputs, EncodedImages):
            parts["numbers"] = digests.of_array(self.inputs.numbers)
        return digests.of_json(parts)

    def take(self, rows: np.ndarray) -> "Examples":
        """The examples at ``rows``, in that order."""
        taken: dict[str, Any] = {
            name: array.select(rows) if isinstance(array, EncodedImages) else array[rows]
            for name, array in self.arrays().items()
        }
        return Examples(**taken)


@dataclass(frozen=True)
class Dataset:
    """Three splits and what turns raw input into a model's.

    Attributes:
      name: the name that was asked for, version included where there is one.
      train, validation, test: the splits; the validation split was cut from the training split.
      preprocess: from raw input to a model's input; it is saved beside the checkpoints.
      bucket_lengths: padded lengths T of sequences, rising; empty where the configuration's count.
      notes: what a user should know of the data, a sentence each.
      sample_texts: a few documents to try prediction on.

    Raises:
      DataError: if a label lies outside the classes or the training split has fewer than two.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    preprocess: Preprocess
    bucket_lengths: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    sample_texts: tuple[str, ...] = ()

    def __post_init__(self):
        names = self.class_names
        for split in ("train", "validation", "test"):
            labels = getattr(self, split).labels
            outside = (labels < 0) | (labels >= len(names))
            if outside.any():
                row = int(outside.argmax())
                raise DataError(
                    f"{self.name}: label {int(labels[row])} of example {row} in {split} lies outside the "
                    f"{len(names)} classes 0..{len(names) - 1}"
                )
        if len(np.unique(self.train.labels)) < 2:
            raise DataError(f"{self.name}: the training split has one class only; a classifier needs two")

    @property
    def fingerprint(self) -> dict[str, str]:
        """That of each split."""
        return {split: getattr(self, split).fingerprint for split in ("train", "validation", "test")}

    @property
    def class_names(self) -> Sequence[str]:
        return self.preprocess.class_names


def hold_out(labels: np.ndarray, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a validation split: row numbers ``(kept, held_out)``, each rising, stratified by class.

    The cut depends on the labels, the fraction and ``seed`` alone, never on a run's seed, so that
    all seeds of an experiment are compared on the same examples.

    Raises:
      DataError: if a class has too few examples to be in both parts.
    """
    from sklearn.model_selection import train_test_split  # a second of import that prediction need not pay

    try:
        kept, held = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
    except ValueError as error:
        raise DataError(
            f"cannot hold out {fraction:g} of {len(labels)} examples by class: {str(error).rstrip('.')}; "
            "give more examples of each class, or hold out another fraction"
        ) from error
    return np.sort(kept), np.sort(held)

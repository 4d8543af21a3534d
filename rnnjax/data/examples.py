"""Examples as arrays, checked when they come in, and data sets made of them."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnjax import digests
from rnnjax.data.encoded import EncodedImages
from rnnjax.data.labels import check_labels
from rnnjax.data.plan import Order, Plan
from rnnjax.data.preprocess import Preprocess
from rnnjax.data.series_windows import SeriesWindows
from rnnjax.data.spec import Spec
from rnnjax.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Examples:
    """One split, as it is stored: nothing normalised, nothing augmented.

    Attributes:
      arrays: by name, each ``[N, ...]``: inputs such as images (uint8 0..255, or finite floats) or word ids, and
        targets such as ``labels``. Images may be still encoded, and windows into a series uncut.
      lengths: ``[N]`` int32, how many steps of a row are real; None where all rows have one size.
      timed: names of the arrays whose axis 1 is time, and that are cut to the padded length of a batch. One whose rows
        have lengths of their own has them as another array, ``NAME_lengths``.
      places: where each lies, such as its file; None: nobody knows, or the data set tells it.

    Raises:
      DataError: if a split is empty, an array is none, they disagree in the number of examples, a length lies outside
        0..T, or a float is not finite.
    """

    arrays: Mapping[str, Any]  # an array each, or EncodedImages or SeriesWindows in its place
    lengths: np.ndarray | None = None
    timed: tuple[str, ...] = ()
    places: Sequence[str] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self):
        if not self.arrays:
            raise DataError("a split has no arrays")
        for name, array in self.arrays.items():
            if not hasattr(array, "dtype") or len(array.shape) < 1:
                got = list(getattr(array, "shape", [])) or type(array).__name__
                raise DataError(f"{name} must be an array with a row an example, [N, ...], got {got}")
        first, *rest = self.arrays
        if len(self) == 0:
            raise DataError("a split is empty: there is no example in it")
        for name in rest:
            if len(self.arrays[name]) != len(self):
                raise DataError(f"{len(self)} {first} but {len(self.arrays[name])} {name}")
        if self.lengths is not None:
            self._check_lengths(self.lengths)
        for name, array in self.arrays.items():
            check_finite(name, array)

    def _check_lengths(self, lengths: np.ndarray) -> None:
        if np.ndim(lengths) != 1:
            raise DataError(f"lengths must be one integer an example, [N], got {list(np.shape(lengths))}")
        if len(lengths) != len(self):
            raise DataError(f"{len(lengths)} lengths but {len(self)} {next(iter(self.arrays))}")
        if not np.issubdtype(lengths.dtype, np.integer):
            raise DataError(f"lengths must be integers, got {lengths.dtype}")
        for name in self.timed:
            if self.arrays[name].ndim < 2:
                raise DataError(f"{name} must have time as axis 1, [N, T, ...], got {list(self.arrays[name].shape)}")
            steps = self.arrays[name].shape[1]
            lengths = self.arrays.get(f"{name}_lengths", self.lengths)
            outside = (lengths < 0) | (lengths > steps)
            if outside.any():
                row = int(outside.argmax())
                raise DataError(f"lengths must lie in 0..{steps}, example {row} got {int(lengths[row])}")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, name: str) -> Any:
        """The array of that name."""
        return self.arrays[name]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.stored().values())

    @property
    def encoded(self) -> tuple[str, ...]:
        """Names of the arrays that are decoded anew whenever they are used."""
        return tuple(name for name, array in self.arrays.items() if isinstance(array, EncodedImages))

    @property
    def uncut(self) -> tuple[str, ...]:
        """Names of the arrays that are windows into a series."""
        return tuple(name for name, array in self.arrays.items() if isinstance(array, SeriesWindows))

    def stored(self) -> dict[str, Any]:
        """All arrays by name, ``lengths`` among them where there are some."""
        return dict(self.arrays) | ({} if self.lengths is None else {"lengths": self.lengths})

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all arrays; of encoded images, of what tells their files apart."""
        parts = {}
        for name, array in self.stored().items():
            if name in self.encoded:
                parts |= {name: array.source, "numbers": digests.of_array(array.numbers)}
            elif name in self.uncut:
                parts[name] = array.fingerprint
            else:
                parts[name] = digests.of_array(array)
        return digests.of_json(parts)

    def take(self, rows: np.ndarray) -> "Examples":
        """The examples at ``rows``, in that order."""
        whole = {*self.encoded, *self.uncut}
        taken = {name: array.select(rows) if name in whole else array[rows] for name, array in self.arrays.items()}
        return Examples(taken, None if self.lengths is None else self.lengths[rows], self.timed)


def labelled(inputs: Any, labels: np.ndarray, lengths: np.ndarray | None = None) -> Examples:
    """Inputs ``[N, ...]`` with a class number each; with ``lengths``, axis 1 of the inputs is time.

    Raises:
      DataError: if labels are anything else, or as :class:`Examples` does.
    """
    check_labels(labels)
    if len(getattr(inputs, "shape", ())) < 2:
        got = list(getattr(inputs, "shape", [])) or type(inputs).__name__
        raise DataError(f"inputs must be an array with a row an example, [N, ...] with two axes or more, got {got}")
    return Examples({"inputs": inputs, "labels": labels}, lengths, () if lengths is None else ("inputs",))


def check_finite(name: str, array: Any) -> None:
    """Raises DataError at NaN and infinity, and at what are no numbers."""
    array = array.series if isinstance(array, SeriesWindows) else array
    if array.dtype.kind in "biu" or not len(array):
        return
    try:
        if array.dtype.kind not in "fV":  # V: bfloat16 and its like, which NumPy does not count as floats
            raise TypeError
        bad = ~np.isfinite(np.reshape(np.asarray(array), (len(array), -1))).all(-1)
    except TypeError:
        raise DataError(f"{name} must be integers or floats, got {array.dtype}") from None
    if bad.any():
        raise DataError(f"{name} hold NaN or infinity, first in example {int(bad.argmax())}")


def _rows_of(examples: Examples) -> dict[str, str]:
    """Dtype and shape of a row of each array, but for its time."""
    return {
        name: f"{array.dtype} {list(array.shape[2 if name in examples.timed else 1 :])}"
        for name, array in examples.stored().items()
    }


@dataclass(frozen=True)
class Dataset:
    """Splits and what turns raw input into a model's.

    Attributes:
      name: the name that was asked for, version included where there is one.
      train, validation: the splits; the validation split was cut from the training split.
      test: to evaluate on at the end; None where nothing is kept for that.
      preprocess: from raw input to a model's input; it is saved beside the checkpoints.
      given: what goes into a model and is to come out; None: as the preprocessing says.
      plan: which examples are in which step.
      notes: what a user should know of the data, a sentence each.
      sample_texts: a few documents to try prediction on.
      documents: gives the raw texts of each split, in the split's order; None: there are none.
      places: gives where each example of each split lies, such as its file, in the split's order; None: nobody knows.
      understood: what was found out about the data before training, a line each.
      target: what its targets are where the data say it (class, labels, number or steps), for an experiment whose task
        follows the data.

    Raises:
      DataError: if the splits do not have the same arrays.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples | None
    preprocess: Preprocess = field(default_factory=Preprocess)
    given: Spec | None = None
    plan: Order = field(default_factory=Plan)
    notes: tuple[str, ...] = ()
    sample_texts: tuple[str, ...] = ()
    documents: Callable[[], Mapping[str, Sequence[str]]] | None = None
    places: Callable[[], Mapping[str, Sequence[str]]] | None = None
    target: str = ""
    understood: tuple[str, ...] = ()

    def __post_init__(self):
        wanted = _rows_of(self.train)
        for split, examples in self.splits().items():
            there = _rows_of(examples)
            if there != wanted or examples.timed != self.train.timed:
                raise DataError(f"{self.name}: a row of {split} is {there}, where one of train is {wanted}")

    @property
    def spec(self) -> Spec:
        """What goes into a model and is to come out."""
        return self.given or self.preprocess.spec

    def splits(self) -> dict[str, Examples]:
        """Those that there are, by name."""
        named = {split: getattr(self, split) for split in SPLITS}
        return {split: examples for split, examples in named.items() if examples is not None}

    def split(self, name: str) -> Examples:
        """The split of that name; raises DataError if there is none."""
        if name not in self.splits():
            raise DataError(f"{self.name} has no {name} split; it has {', '.join(self.splits())}")
        return self.splits()[name]

    @property
    def fingerprint(self) -> dict[str, str]:
        """That of each split."""
        return {split: examples.fingerprint for split, examples in self.splits().items()}


def hold_out(labels: np.ndarray, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a validation split: row numbers ``(kept, held_out)``, each rising, stratified by class.

    A fraction that is an integer is a number of rows.

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
            f"cannot hold out {fraction:g} of {len(labels)} examples by class: {_too_few(labels, fraction)}; "
            "give more examples of each class, or hold out another number of them"
        ) from error
    return np.sort(kept), np.sort(held)


def _too_few(labels: np.ndarray, fraction: float) -> str:
    """Why no stratified part can be cut."""
    classes, counts = np.unique(labels, return_counts=True)
    if len(counts) and counts.min() < 2:
        return f"class {classes[counts.argmin()]} has {counts.min()}, and both parts need one"
    held = fraction if isinstance(fraction, int) else math.ceil(fraction * len(labels))
    part = min(held, len(labels) - held)
    return f"a part of {part} has no room for {len(classes)} classes"


def hold_out_rows(examples: int, fraction: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`hold_out`, of examples without classes: a random part of the rows.

    Raises:
      DataError: if either part would be empty.
    """
    held = round(fraction * examples)
    if not 0 < held < examples:
        raise DataError(f"cannot hold out {fraction:g} of {examples} examples; give more examples")
    order = np.random.default_rng(seed).permutation(examples)
    return np.sort(order[held:]), np.sort(order[:held])

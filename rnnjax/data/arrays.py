"""Arrays of one's own as a data set: ``rnnjax.Arrays(x, y)``."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rnnjax.config.checks import CONTENT, check
from rnnjax.config.data import DataConfig
from rnnjax.data.spec import Shape, Spec, flat
from rnnjax.errors import DataError, UsageError

if TYPE_CHECKING:
    from rnnjax.data.examples import Dataset, Examples


@dataclass(frozen=True, eq=False)
class Arrays(DataConfig):
    """Arrays in memory, with a target an example.

    A model is called with ``inputs=x``, and with ``lengths`` where rows differ in length. Where ``x`` is a dictionary,
    each of its arrays is an argument of its own; where it is a tuple, ``inputs`` is that tuple.

    Attributes:
      x: ``[N, ...]``, or a list of arrays ``[T, ...]`` of different lengths T, which are padded with zeros; or a
        dictionary or tuple of these. Floats of 64 bits become float32.
      y: ``[N]`` class numbers 0..C-1, or numbers ``[N]`` or ``[N, columns]`` to regress.
      lengths: ``[N]``, how many steps of each padded row (axis 1) are real.
      weights: ``[N]``, how much each example counts; None: all alike.
      test: ``(x, y)`` or ``(x, y, lengths)`` to evaluate on at the end; None: nothing is.
    """

    kind: ClassVar[str] = "arrays"
    x: Any = field(default=None, metadata=CONTENT)
    y: Any = field(default=None, metadata=CONTENT)
    _: dataclasses.KW_ONLY
    lengths: Any = field(default=None, metadata=CONTENT)
    weights: Any = field(default=None, metadata=CONTENT)
    test: Any = field(default=None, metadata=CONTENT)
    names: tuple[str, ...] | None = None
    """Names of the classes; unset: their numbers."""
    buckets: tuple[int, ...] | None = None
    """Padded lengths, rising; unset: at most three, chosen by the lengths."""
    name: str = "arrays"
    """Name of the data set in results."""

    def __post_init__(self):
        super().__post_init__()
        rising = self.buckets is None or (bool(self.buckets) and list(self.buckets) == sorted(set(self.buckets)))
        check(rising, self, "buckets", "rising lengths")

    def load(self) -> "Dataset":
        """The splits: validation is a random part of the rows, of classes a stratified one, the same for all seeds.

        Raises:
          DataError: if arrays do not belong together, or a class has too few examples.
          UsageError: if this is a description that was read back from a work folder, which holds no data.
        """
        from rnnjax.data.examples import Dataset
        from rnnjax.data.plan import Plan
        from rnnjax.data.preprocess import Preprocess

        if self.x is None or self.y is None:
            raise UsageError("this run's arrays are not in its folder; hand over its experiment with rnnjax.Arrays")
        every, held_test = _examples(self.x, self.y, self.lengths, self.weights), None
        if self.test is not None:
            held_test = _examples(*self.test) if isinstance(self.test, tuple) else _not_a_pair(self.test)
        kept, held = _split(every, self.validation_fraction)
        train, rest = every.take(kept), every.take(held)
        return Dataset(
            self.name,
            train,
            rest,
            held_test,
            Preprocess(),
            given=self._spec(every),
            plan=Plan(self._buckets(train, [every, *([held_test] if held_test else [])])),
        )

    def _spec(self, every: "Examples") -> Spec:
        inputs = {name: Shape.of(array[:1]) for name, array in every.stored().items() if name not in _TARGETS}
        if "labels" not in every.arrays:
            targets = every["targets"]
            return Spec(inputs, outputs=1 if targets.ndim == 1 else targets.shape[1])
        names = self.names or tuple(str(number) for number in range(int(every["labels"].max()) + 1))
        return Spec(inputs, outputs=len(names), names=tuple(names))

    def _buckets(self, train: "Examples", splits: Sequence["Examples"]) -> tuple[int, ...]:
        from rnnjax.data.lengths import bucket_lengths

        if train.lengths is None:
            return ()
        longest = max(int(split.lengths.max()) for split in splits if split.lengths is not None)
        return self.buckets or bucket_lengths(train.lengths, longest)


_TARGETS = ("labels", "targets", "weights")


def _examples(x: Any, y: Any, lengths: Any = None, weights: Any = None) -> "Examples":
    from rnnjax.data.examples import Examples

    given = x if isinstance(x, Mapping) else {"inputs": x}
    for name in given:
        if name in (*_TARGETS, "lengths", "mask", "train"):
            raise DataError(f"an input cannot be called {name!r}: that name is taken")
    leaves = {path: leaf for name, tree in given.items() for path, leaf in flat(name, tree).items()}
    ragged = [path for path, leaf in leaves.items() if isinstance(leaf, list) and _differ_in_length(leaf)]
    if ragged and lengths is None:
        lengths = np.array([len(row) for row in leaves[ragged[0]]], np.int32)
        for path in ragged[1:]:
            if [len(row) for row in leaves[path]] != lengths.tolist():
                raise DataError(f"the rows of {path} are not as long as those of {ragged[0]}; give padded arrays")
    arrays = {path: _padded(path, leaf) if path in ragged else _array(path, leaf) for path, leaf in leaves.items()}
    timed: tuple[str, ...] = ()
    if lengths is not None:
        lengths = _integers("lengths", lengths)
        longest = max((arrays[path].shape[1] for path in ragged), default=0) or arrays[next(iter(arrays))].shape[1]
        timed = tuple(path for path, array in arrays.items() if array.ndim > 1 and array.shape[1] == longest)
    target = _array("y", y)
    arrays["labels" if target.dtype.kind in "iu" and target.ndim == 1 else "targets"] = target
    if weights is not None:
        arrays["weights"] = _array("weights", weights).astype(np.float32)
        if arrays["weights"].ndim != 1 or (arrays["weights"] < 0).any():
            raise DataError(f"weights must be one number an example, 0 or more, got {list(arrays['weights'].shape)}")
    return Examples(arrays, lengths, timed)


def _differ_in_length(rows: list[Any]) -> bool:
    return len({np.shape(row)[:1] for row in rows}) > 1


def _padded(path: str, rows: list[Any]) -> np.ndarray:
    arrays = [_array(f"{path}[{number}]", row) for number, row in enumerate(rows)]
    inner = {array.shape[1:] for array in arrays}
    if len(inner) > 1 or any(array.ndim < 1 for array in arrays):
        raise DataError(f"the rows of {path} must be [T, ...] alike but for T, got {sorted(map(str, inner))[:3]}")
    longest = max(len(array) for array in arrays)
    out = np.zeros((len(arrays), longest, *inner.pop()), np.result_type(*{array.dtype for array in arrays}))
    for place, array in zip(out, arrays, strict=True):
        place[: len(array)] = array
    return out


def _array(path: str, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{path} is no array: {error}") from error
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
            raise DataError(f"{path} has integers of more than 32 bits")
        return array.astype(np.int32)
    if array.dtype.kind not in "biufV":
        raise DataError(f"{path} must hold numbers, got {array.dtype}")
    return array


def _integers(name: str, given: Any) -> np.ndarray:
    array = _array(name, given)
    return array.astype(np.int32) if array.dtype.kind in "iu" else array  # anything else is refused with the examples


def _split(every: "Examples", fraction: float) -> tuple[np.ndarray, np.ndarray]:
    from rnnjax.data.examples import hold_out, hold_out_rows

    labels = every.arrays.get("labels")
    # Counts and years are integers too: of classes there are several examples each.
    if labels is not None and np.unique(labels, return_counts=True)[1].min() > 1:
        return hold_out(labels, fraction)
    return hold_out_rows(len(every), fraction)


def _not_a_pair(test: Any) -> Any:
    raise UsageError(f"test must be a tuple (x, y) or (x, y, lengths), got {type(test).__name__}")

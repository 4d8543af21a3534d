"""Arrays of one's own as a data set: ``rnnjax.Arrays(x, y)``."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rnnjax.config.checks import CONTENT, check
from rnnjax.config.data import DataConfig
from rnnjax.data import given
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.step_labels import step_labels
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
      y: ``[N]`` class numbers 0..C-1, or numbers ``[N]`` or ``[N, columns]`` to regress. Where the task is one of steps
        (:class:`rnnjax.PerStep`): class numbers ``[N, T]``, or a list of rows as long as those of ``x``; -1 at a step
        without a label.
      lengths: ``[N]``, how many steps of each padded row (axis 1) are real.
      weights: ``[N]``, how much each example counts; None: all alike.
      test: ``(x, y)`` or ``(x, y, lengths)`` to evaluate on at the end; None: nothing is.
      names: of the classes, in the order of their numbers, such as ``("O", "B-PER", "I-PER")``; None: their numbers.
      per_step: whether ``y`` is of steps; an experiment sets it by its task.
    """

    kind: ClassVar[str] = "arrays"
    x: Any = field(default=None, metadata=CONTENT)
    y: Any = field(default=None, metadata=CONTENT)
    _: dataclasses.KW_ONLY
    lengths: Any = field(default=None, metadata=CONTENT)
    weights: Any = field(default=None, metadata=CONTENT)
    test: Any = field(default=None, metadata=CONTENT)
    per_step: bool = field(default=False, metadata=CONTENT)
    timed: tuple[str, ...] | None = None
    """Names of the inputs whose axis 1 is time; unset: lists of different lengths, else arrays of three axes and more,
    else all."""
    names: tuple[str, ...] | None = None
    """Names of the classes, all different; unset: their numbers."""
    buckets: tuple[int, ...] | None = None
    """Padded lengths, rising; unset: at most three, chosen by the lengths."""
    name: str = "arrays"
    """Name of the data set in results."""

    def __post_init__(self):
        super().__post_init__()
        rising = self.buckets is None or (bool(self.buckets) and list(self.buckets) == sorted(set(self.buckets)))
        check(rising, self, "buckets", "rising lengths")
        # Two classes of one name would be one in reports, and in the spans of tags.
        check(self.names is None or len(set(self.names)) == len(self.names), self, "names", "different names")

    def for_task(self, task: Any) -> Self:
        """The same, with ``y`` read as the task means it: ``[N, T]`` integers may be columns, or classes of steps."""
        per_step = self.per_step or getattr(task, "per_step", False)
        return self if per_step == self.per_step else dataclasses.replace(self, per_step=per_step)

    def load(self) -> "Dataset":
        """The splits: validation is a random part of the rows, of classes a stratified one, the same for all seeds.

        Raises:
          DataError: if arrays do not belong together, or a class has too few examples.
          UsageError: if this is a description that was read back from a work folder, which holds no data.
        """
        from rnnjax.data.examples import Dataset
        from rnnjax.data.plan import Plan
        from rnnjax.data.preprocess import Preprocess

        if self.x is None and self.y is None:
            raise UsageError("this run's arrays are not in its folder; hand over its experiment with rnnjax.Arrays")
        every = _examples(self.x, self.y, self.lengths, self.weights, self.timed, per_step=self.per_step)
        held_test = None if self.test is None else _test_examples(self.test, every, per_step=self.per_step)
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
        labels = every["labels"]
        least, most = 0 if self.per_step else int(labels.min()), int(labels.max())
        if self.names is None and (least < 0 or most >= _MOST_CLASSES):
            return Spec(inputs)  # counts, years and the like, which are no classes
        names = self.names or tuple(str(number) for number in range(most + 1))
        return Spec(inputs, outputs=len(names), names=tuple(names))

    def _buckets(self, train: "Examples", splits: Sequence["Examples"]) -> tuple[int, ...]:
        from rnnjax.data.lengths import bucket_lengths

        if train.lengths is None:
            return ()
        longest = max(int(split.lengths.max()) for split in splits if split.lengths is not None)
        return self.buckets or bucket_lengths(train.lengths, longest)


_TARGETS = ("labels", "targets", "weights")

_MOST_CLASSES = 2**20
"""Larger integers are no numbers of classes."""


def _examples(
    x: Any,
    y: Any,
    lengths: Any = None,
    weights: Any = None,
    timed: tuple[str, ...] | None = None,
    *,
    per_step: bool = False,
) -> "Examples":
    from rnnjax.data.examples import Examples

    for name in x if isinstance(x, Mapping) else ():
        if name in (*_TARGETS, "lengths", "mask", "train"):
            raise DataError(f"an input cannot be called {name!r}: that name is taken")
    padded = lengths is not None
    arrays, lengths, found = given.stacked(x, lengths)
    if unknown := set(timed or ()) - set(arrays):
        raise DataError(f"timed names {sorted(unknown)[0]!r}; the inputs are {', '.join(arrays)}")
    timed = found if timed is None or lengths is None else timed
    target = step_labels(y, arrays, lengths, timed, padded=padded) if per_step else _target(y)
    for path, array in arrays.items():
        if array.ndim and len(array) != len(target):
            tree = "; a tuple is several inputs, the rows of one are a list or an array" if isinstance(x, tuple) else ""
            raise DataError(f"{path} has {len(array)} rows, but y has {len(target)}{tree}")
    arrays["labels" if per_step or (target.dtype.kind in "iu" and target.ndim == 1) else "targets"] = target
    timed = (*timed, "labels") if per_step and lengths is not None else timed
    if weights is not None:
        arrays["weights"] = given.array("weights", weights).astype(np.float32)
        if arrays["weights"].ndim != 1 or (arrays["weights"] < 0).any():
            raise DataError(f"weights must be one number an example, 0 or more, got {list(arrays['weights'].shape)}")
        if arrays["weights"].size and not arrays["weights"].any():
            raise DataError("weights are all 0: no example counts")
    return Examples(arrays, lengths, timed)


def _split(every: "Examples", fraction: float) -> tuple[np.ndarray, np.ndarray]:
    from rnnjax.data.examples import hold_out, hold_out_rows

    labels = every.arrays.get("labels")
    # Counts and years are integers too: of classes there are several examples each.
    counts = [] if labels is None else np.unique(labels, return_counts=True)[1]
    held = min(fraction, 1 - fraction) * len(every)
    if labels is not None and labels.ndim == 1 and min(counts) > 1 and len(counts) <= held:
        return hold_out(labels, fraction)
    return hold_out_rows(len(every), fraction)


def _target(y: Any) -> np.ndarray:
    """Class numbers as int32, other numbers as float32, which must tell them apart."""
    try:
        wide: Any = np.asarray(y)
    except ValueError as error:
        raise DataError(
            f"y is no array: {error}; rows of several lengths, a class at each step, are for task=rnnjax.PerStep()"
        ) from error
    if y is None or wide.ndim == 0:
        raise DataError(f"y must be an array with a target an example, got {y!r:.40}")
    if wide.dtype.kind in "USO":
        raise DataError(
            f"y must hold numbers, got {wide.dtype}; of classes, give their numbers and names: "
            "names, y = np.unique(y, return_inverse=True), then Arrays(x, y, names=tuple(names))"
        )
    target = given.array("y", wide)
    if wide.dtype == np.float64 and len(wide) and np.isfinite(target).all():
        lost, span = np.abs(wide - target).max(0), np.ptp(wide, 0)
        if ((span > 0) & (lost > 1e-3 * span)).any():
            raise DataError("y varies by less than float32 tells apart at its size; subtract its mean first")
    return target.astype(np.int32) if target.dtype == bool else target


def _test_examples(test: Any, every: "Examples", *, per_step: bool) -> "Examples":
    """The test split, with targets of the kind that those of training are."""
    if not isinstance(test, tuple) or len(test) not in (2, 3):
        got = f"a tuple of {len(test)}" if isinstance(test, tuple) else type(test).__name__
        raise UsageError(f"test must be a tuple (x, y) or (x, y, lengths), got {got}")
    x, y, lengths = test[0], test[1], test[2] if len(test) > 2 else None
    if "targets" in every.arrays and every["targets"].dtype.kind == "f":
        y = np.asarray(y, np.float64)
    timed = tuple(name for name in every.timed if name != "labels") or None
    made = _examples(x, y, lengths, None, timed, per_step=per_step)
    if "weights" in every.arrays:
        weighed = {**made.arrays, "weights": np.ones(len(made), np.float32)}
        made = dataclasses.replace(made, arrays=weighed)
    if (made.lengths is None) != (every.lengths is None):
        longer = "has lengths, but the training data have none" if every.lengths is None else "needs lengths as well"
        raise DataError(f"test {longer}: give (x, y, lengths) where rows differ in length, in both or in neither")
    return made

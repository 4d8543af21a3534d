"""Arrays of one's own as a data set: ``rnnjax.Arrays(x, y)``."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rnnjax.config.checks import CONTENT, check
from rnnjax.config.data import DataConfig
from rnnjax.data import given
from rnnjax.data.spec import Shape, Spec
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

    for name in x if isinstance(x, Mapping) else ():
        if name in (*_TARGETS, "lengths", "mask", "train"):
            raise DataError(f"an input cannot be called {name!r}: that name is taken")
    arrays, lengths, timed = given.stacked(x, lengths)
    target = given.array("y", y)
    arrays["labels" if target.dtype.kind in "iu" and target.ndim == 1 else "targets"] = target
    if weights is not None:
        arrays["weights"] = given.array("weights", weights).astype(np.float32)
        if arrays["weights"].ndim != 1 or (arrays["weights"] < 0).any():
            raise DataError(f"weights must be one number an example, 0 or more, got {list(arrays['weights'].shape)}")
    return Examples(arrays, lengths, timed)


def _split(every: "Examples", fraction: float) -> tuple[np.ndarray, np.ndarray]:
    from rnnjax.data.examples import hold_out, hold_out_rows

    labels = every.arrays.get("labels")
    # Counts and years are integers too: of classes there are several examples each.
    if labels is not None and np.unique(labels, return_counts=True)[1].min() > 1:
        return hold_out(labels, fraction)
    return hold_out_rows(len(every), fraction)


def _not_a_pair(test: Any) -> Any:
    raise UsageError(f"test must be a tuple (x, y) or (x, y, lengths), got {type(test).__name__}")

"""What every peer of the part ``ragged`` computes: a recurrent layer over sequences of unequal lengths, and its loss.

Axes: N sequences, S their padded steps (those of the longest), B rows and T steps of a row, D and H features.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from experiments.benchmarks.task import CLASSES, Shape, Task

Gradient = dict[str, np.ndarray]
Kind = Literal["lognormal", "uniform", "episodes"]
KINDS: tuple[Kind, ...] = ("lognormal", "uniform", "episodes")
MEDIAN, SIGMA = 190 / 400, 0.65
"""Of the log-normal lengths, as a share of T, and in logarithms. So are the words of IMDB's training reviews (of every
fifth: median 179, mean and deviation of the logarithms 5.27 and 0.65), of which recipes here keep the first 400."""
SHORTEST = 10 / 400
"""The least length, as a share of T."""
ENDS = 4
"""Episodes that end inside of a row of T steps, on average."""


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Sequences of unequal lengths, a layer over them, a dense head at every step, and the mean loss of real steps.

    Of ``"episodes"`` the sequences lie one after the other in B full rows, as a stream of episodes does, and the last
    of a row is cut off there; of the other kinds there are B sequences. All start from zero carries.

    Attributes:
      kind: where the lengths come from: ``"lognormal"``, ``"uniform"`` or ``"episodes"``.
      cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
      shape: B, the largest number of steps T, D and H.
    """

    kind: Kind
    cell: str
    shape: Shape

    @functools.cached_property
    def layer(self) -> Task:
        """The task of the part ``layers`` with the same weights; its float32 products are no TF32 on any device."""
        return Task(self.cell, "masked", "train", self.shape, precision="highest")

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """``[B, T]`` booleans, True where an episode begins: at each row's first step and at random steps behind it."""
        B, T = self.shape.B, self.shape.T
        starts = np.random.default_rng(0).random((B, T)) < min(1.0, ENDS / T)
        starts[:, 0] = True
        return starts

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """``[N]`` int32, of at least one step."""
        B, T = self.shape.B, self.shape.T
        random, least = np.random.default_rng(0), max(1, round(SHORTEST * T))
        if self.kind == "episodes":
            return np.diff(np.append(np.flatnonzero(self.starts), B * T)).astype(np.int32)
        if self.kind == "uniform":
            return random.integers(least, T + 1, B, np.int32)
        drawn = np.rint(np.exp(random.normal(np.log(MEDIAN * T), SIGMA, B)))
        return np.clip(drawn, least, T).astype(np.int32)

    @property
    def steps(self) -> int:
        """Steps of all sequences together; each of them counts alike in the loss."""
        return int(self.lengths.sum())

    @functools.cached_property
    def real(self) -> np.ndarray:
        """``[N, S]`` booleans, True at steps and False at padding."""
        return np.arange(self.lengths.max()) < self.lengths[:, None]

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        """Standard normal, ``[N, S, D]`` float32, zero at padding."""
        drawn = np.random.default_rng(1).standard_normal((*self.real.shape, self.shape.D), np.float32)
        return drawn * self.real[..., None]

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """``[N, S]`` int32, of every step; zero at padding."""
        return np.random.default_rng(2).integers(0, CLASSES, self.real.shape, np.int32) * self.real

    def in_rows(self, array: np.ndarray) -> np.ndarray:
        """Of episodes ``[N, S, ...]`` the rows ``[B, T, ...]`` in which they lie one after the other."""
        return array[self.real].reshape(self.shape.B, self.shape.T, *array.shape[2:])

    def padded(self) -> Task:
        """A task as large as the padded sequences, by which the memory is estimated that they need."""
        shape = Shape(len(self.lengths), int(self.lengths.max()), self.shape.D, self.shape.H)
        return Task(self.cell, "masked", "train", shape)


@dataclasses.dataclass(frozen=True)
class Peer:
    """What computes a task.

    Attributes:
      call: computes it, and blocks until the gradient is there; returns the loss.
      computed_steps: steps that it runs over, padding included.
      ran: after a call, the implementation by which the layer was seen to run; None where the peer has but one.
      gradient: of the last call, by our names of the parameters and in our layout; None of what has no loss.
    """

    call: Callable[[], Any]
    computed_steps: int
    ran: Callable[[], str | None]
    gradient: Callable[[], Gradient] | None


def distance(gradient: Gradient, reference: Gradient) -> float:
    """Of the parameter that is farthest the Euclidean norm of the difference over that of the reference."""
    if set(gradient) != set(reference):
        return float("inf")
    return float(np.max([_distance(array, reference[name]) for name, array in gradient.items()]))  # a NaN stays one


def _distance(array: np.ndarray, reference: np.ndarray) -> float:
    if array.shape != reference.shape:
        return float("inf")
    wide = np.asarray(reference, np.float64)
    apart, whole = np.linalg.norm(array - wide), np.linalg.norm(wide)
    if not whole:  # as that of a recurrent kernel over one step from zeros is
        return 0.0 if not apart else float("inf")
    return float(apart / whole)

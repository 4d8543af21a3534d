"""What every peer of the training benchmark follows: a task's data in one order, and the weights it starts from."""

import importlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from experiments.benchmarks.training_tasks.part import Part
from rnnjax.data import Dataset
from rnnjax.data.plan import Chunk
from rnnjax.training.state import seed_key


class Course:
    """A task with its data: what to train on, in which order, from which weights.

    Attributes:
      part: the task.
      dataset: its splits.
      task: what outputs mean, as rnnjax has it: the quality of every peer is measured by it.
      model: rnnjax's module.

    Raises:
      DataError: if the data are not there.
    """

    def __init__(self, part: Part, dataset: Dataset | None = None):
        self.part = part
        self.dataset = part.load() if dataset is None else dataset
        experiment = part.experiment
        self.task = experiment.task.prepared(self.dataset, experiment.optim)
        self.model = experiment.model.build(self.dataset.spec, self.outputs)
        self._initial = jax.jit(lambda key: self.model.init({"params": key}, **self.dataset.spec.zeros())["params"])

    def model_of(self, peer: str) -> Any:
        """The model of Keras or PyTorch: the class ``Model`` of the module beside the part's."""
        return importlib.import_module(f"{type(self.part).__module__}_{peer}").Model(self)

    def parameters(self, seed: int) -> Any:
        """The weights that every peer starts from: those of rnnjax's run with this seed."""
        return jax.tree.map(np.asarray, self._initial(seed_key(seed)))

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """A split as Keras and PyTorch hold it, ``[N, ...]`` by name."""
        return self.part.arrays(self.dataset, split)

    def widths(self, length: Any) -> dict[str, int]:
        """The padded length of each array that has one, by the length of a chunk."""
        timed = self.dataset.train.timed
        if length is None or not timed:
            return {}
        return dict(zip(timed, length if isinstance(length, tuple) else (length,) * len(timed), strict=True))

    def cut(self, arrays: Mapping[str, Any], rows: np.ndarray, length: Any) -> dict[str, Any]:
        """Rows of a split, padded to the length of a chunk."""
        widths = self.widths(length)
        return {
            name: array[rows][:, : widths[name]] if name in widths else array[rows] for name, array in arrays.items()
        }

    def plan(self, seed: int, epoch: int) -> list[Chunk]:
        """One epoch's chunks, as rnnjax trains them."""
        return self.dataset.plan.train(self.dataset.train, seed=seed, epoch=epoch, **self._sizes)

    def validation_plan(self) -> list[Chunk]:
        """The validation split in chunks; the last batch of a length is filled up with masked rows."""
        return self.dataset.plan.evaluate(self.dataset.validation, **self._sizes)

    def segments(self, steps: int) -> Iterator[list[Chunk]]:
        """Endless segments of the training, each with ``steps`` steps or just above of every padded length."""
        waiting: dict[Any, list[Chunk]] = {chunk.length: [] for chunk in self.plan(0, 0)}
        for epoch in itertools.count():
            for chunk in self.plan(0, epoch):
                if _steps(waiting[chunk.length]) < steps:
                    waiting[chunk.length].append(chunk)
                if all(_steps(chunks) >= steps for chunks in waiting.values()):
                    yield [chunk for chunks in waiting.values() for chunk in chunks]
                    waiting = {length: [] for length in waiting}

    @property
    def batch_size(self) -> int:
        """Examples of a step."""
        return self.part.experiment.data.batch_size

    @property
    def _sizes(self) -> dict[str, int]:
        return {"batch_size": self.batch_size, "steps_per_call": self.part.experiment.train.steps_per_call}

    @property
    def vocabulary_size(self) -> int:
        """Tokens of the inputs' vocabulary, 0 where they are none."""
        return self.dataset.spec.vocabulary

    @property
    def outputs(self) -> int:
        """Width of the outputs, such as a logit a class: one for two classes of text."""
        return self.part.experiment.task.width(self.dataset.spec)

    def quality_of(self, outputs: Iterable[np.ndarray]) -> float:
        """The part's metric on the validation split, of a model's outputs for every chunk of its plan."""
        totals: dict[str, Any] = {}
        targets = {name: array for name, array in self.dataset.validation.arrays.items() if name != "inputs"}
        for chunk, made in zip(self.validation_plan(), outputs, strict=True):
            batch = self.cut(targets, chunk.rows.reshape(-1), chunk.length) | {"mask": chunk.mask.reshape(-1)}
            for name, value in self.part.sums(self.task, made, batch).items():
                totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64)
        return self.part.finish(self.task, totals)


class Peer(Protocol):
    """Who trains: a course in one framework."""

    def reset(self, seed: int) -> None:
        """Starts over from the course's weights of this seed, at an epoch's beginning."""

    def begin(self) -> None:
        """An epoch begins: what is carried on from batch to batch starts anew."""

    def settle(self, chunks: list[Chunk]) -> dict[str, float]:
        """Where there are several ways to compute the same, tries and takes the fastest; the seconds of each."""
        ...

    def train(self, chunks: list[Chunk]) -> float:
        """Trains over chunks and waits for the end; the mean over their steps of each step's loss."""
        ...

    def outputs(self, split: str, chunks: list[Chunk]) -> Iterator[np.ndarray]:
        """The model's outputs ``[K * B, ...]`` for each of a split's chunks in turn, without dropout.

        What is carried on starts anew with the first, and that of the training stays as it is.
        """
        ...

    def quality(self) -> float:
        """The part's metric on the validation split."""
        ...


def seconds_of(
    ways: Sequence[str], run: Callable[[str], Any], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The seconds of ``run`` in each way, by a second time in a row: the first way would pay for a library's start."""
    found = {}
    for way in ways:
        run(way)
        start = clock()
        run(way)
        found[way] = clock() - start
    return found


def _steps(chunks: list[Chunk]) -> int:
    return sum(chunk.steps for chunk in chunks)

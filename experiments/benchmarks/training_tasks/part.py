"""What a task of the training benchmark is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnjax.config import OptimConfig
from rnnjax.data import Dataset
from rnnjax.experiment import Experiment
from rnnjax.tasks.base import Metric


@dataclass(frozen=True)
class Part:
    """A task: data, rnnjax's model, the loss and a quality to reach.

    The models of the other peers are the classes ``Model`` of the modules that are called as the part's own, with
    ``_keras`` and ``_torch`` behind. They are as :class:`experiments.benchmarks.training_keras.KerasModel` and
    :class:`experiments.benchmarks.training_torch.TorchModel` say.

    Attributes:
      experiment: what is trained; its number of epochs is the most that a run to the quality takes.
      goal: of the metric on the validation split, to be reached.
      interval: training examples between two validations.
      segment: steps of every padded length in one timed segment.
      unit: what is counted a second.
      differences: in what it differs from the experiment, and the peers from one another, a sentence each.
    """

    experiment: Experiment
    goal: float
    interval: int
    segment: int
    unit: ClassVar[str] = "examples"
    differences: ClassVar[tuple[str, ...]] = ()

    def load(self) -> Dataset:
        """The data; raises DataError if they are not there."""
        return self.experiment.data.load()

    @property
    def metric(self) -> Metric:
        """What the quality is."""
        return self.experiment.task.headline

    @property
    def units_per_example(self) -> int:
        """How many of the counted units an example has."""
        return 1

    def arrays(self, dataset: Dataset, split: str) -> dict[str, np.ndarray]:
        """A split as Keras and PyTorch hold it, what goes in and what is to come out, ``[N, ...]`` by name."""
        examples, wanted = getattr(dataset, split), {*dataset.spec.inputs, "labels", "targets"}
        every = np.arange(len(examples))
        return {name: np.asarray(array[every]) for name, array in examples.stored().items() if name in wanted}

    def outputs(self, made: Any) -> Any:
        """Of what rnnjax's model makes of a batch, the outputs that all peers have."""
        return made

    def sums(self, task: Any, outputs: np.ndarray, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What outputs of a batch add to the metric; a batch has its targets and the ``mask`` of its real rows."""
        return task.sums(outputs, batch, train=False)

    def finish(self, task: Any, totals: Mapping[str, Any]) -> float:
        """The metric of such sums over a split."""
        return task.finish(totals)[self.metric.name]


def constant(optim: OptimConfig, learning_rate: float) -> OptimConfig:
    """An experiment's optimizer with a learning rate that stays, and without averages of the parameters."""
    return OptimConfig(
        learning_rate=learning_rate,
        schedule="constant",
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
        label_smoothing=optim.label_smoothing,
    )

"""The task of an experiment whose data say what their targets are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rnnjax.errors import DataError, UsageError
from rnnjax.tasks.base import Task
from rnnjax.tasks.classification import Classification
from rnnjax.tasks.multi_label import MultiLabel
from rnnjax.tasks.per_step import PerStep
from rnnjax.tasks.regression import Regression

if TYPE_CHECKING:
    from rnnjax.data import Dataset


@dataclass(frozen=True)
class ByData(Task):
    """Stands in an experiment until its data are read, and is then the task that they ask for.

    Nothing is trained on this task itself, and no work folder names it.

    Attributes:
      label_smoothing, class_weights, best: such experiments have these options, see ``--optim.label-smoothing``,
        ``--optim.class-weights`` and ``--train.best``; tasks without classes refuse them.
    """

    by_data: ClassVar[bool] = True
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    best: str = ""

    def chosen(self, dataset: "Dataset") -> Task:
        """The task by :attr:`rnnjax.data.Dataset.target`; raises DataError where that names none."""
        if dataset.target not in TASK_OF:
            raise DataError(f"{dataset.name} does not say what its targets are; give the experiment a task")
        return TASK_OF[dataset.target]

    def choosing(self, name: str) -> Self:
        """The same: by what the best checkpoint is chosen is asked of the task that the data ask for."""
        del name
        return self

    def check_data(self, dataset: "Dataset") -> None:
        """Refuses to be trained on: whoever reads the data asks for the task that they want."""
        raise UsageError(f"the task of {dataset.name} was not chosen; it is by experiment.settled(dataset)")


TASK_OF: dict[str, Any] = {
    "class": Classification(),
    "labels": MultiLabel(),
    "number": Regression(),
    "steps": PerStep(),
}
"""By what the targets of a data set are."""

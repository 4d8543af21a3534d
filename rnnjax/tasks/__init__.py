"""What outputs mean: losses, metrics, reports and answers."""

from rnnjax.tasks.base import Batch, Metric, Report, Task
from rnnjax.tasks.classification import Classification
from rnnjax.tasks.forecast import Forecast
from rnnjax.tasks.language_loss import ClassificationWithLanguageLoss as ClassificationWithLanguageLoss
from rnnjax.tasks.multi_label import MultiLabel
from rnnjax.tasks.next_region import NextRegion
from rnnjax.tasks.next_token import NextToken
from rnnjax.tasks.per_step import PerStep
from rnnjax.tasks.regression import Regression
from rnnjax.tasks.sequence_to_sequence import SequenceToSequence

TASKS: tuple[type[Task], ...] = tuple(
    part for part in list(globals().values()) if isinstance(part, type) and issubclass(part, Task) and part is not Task
)
"""All that are imported above: those of this package, which a work folder can name."""

__all__ = [
    "TASKS",
    "Batch",
    "Classification",
    "ClassificationWithLanguageLoss",
    "Forecast",
    "Metric",
    "MultiLabel",
    "NextRegion",
    "NextToken",
    "PerStep",
    "Regression",
    "Report",
    "SequenceToSequence",
    "Task",
]

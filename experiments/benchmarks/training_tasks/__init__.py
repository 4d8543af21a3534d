"""The tasks of the training benchmark: a module each, and beside it the models of Keras and PyTorch."""

from collections.abc import Callable

from experiments.benchmarks.training_tasks import characters, documents, forecast, image_rows, sums
from experiments.benchmarks.training_tasks.part import Part

TASKS: dict[str, Callable[[bool, str], Part]] = {
    "digits_rows": image_rows.digits,
    "mnist_rows": image_rows.mnist,
    "imdb_bilstm": documents.imdb,
    "shakespeare_chars": characters.shakespeare,
    "addition": sums.additions,
    "ett_forecast": forecast.ett,
}
"""By the experiment that each is made of: ``TASKS[name](quick, folder)``."""


def make(name: str, quick: bool = False, folder: str = "") -> Part:
    """A task.

    Args:
      name: of its experiment.
      quick: with a tiny model; of a task that would need files, with data that are made up.
      folder: where files lie that it needs.
    """
    return TASKS[name](quick, folder)

"""Experiments, one short module each; run them from a checkout: ``python -m experiments.NAME``."""

from importlib import import_module

from rnnjax.experiment import Listed

NAMES = (
    "digits_rows",
    "mnist_rows",
    "imdb_lstm",
    "imdb_bilstm",
    "imdb_cnn_lstm",
    "bag_of_words",
    "text_table",
)
"""All experiments, in the order in which they are shown."""


def load(name: str) -> Listed:
    """The experiment of that name."""
    return import_module(f"experiments.{name}").EXPERIMENT

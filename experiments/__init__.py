"""Experiments, one short module each; run them from a checkout: ``python -m experiments.NAME``."""

from importlib import import_module

from rnnjax.experiment import Experiment

NAMES = ("digits_rows", "mnist_rows", "imdb_bilstm", "imagenet_cnn_rnn")
"""All experiments, in the order in which they are shown."""


def load(name: str) -> Experiment:
    """The experiment of that name."""
    return import_module(f"experiments.{name}").EXPERIMENT

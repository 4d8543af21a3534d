"""Experiments, one short module each; run them from a checkout: ``python -m experiments.NAME``."""

from collections.abc import Iterator
from importlib import import_module

from rnnjax.experiment import Listed

NAMES = (
    "digits_rows",
    "mnist_rows",
    "mnist_rows_rnn",
    "mnist_cnn_rnn",
    "cifar10_cnn_rnn",
    "imdb_lstm",
    "imdb_bilstm",
    "imdb_cnn_lstm",
    "shakespeare_chars",
    "imdb_language_model",
    "imdb_regions",
    "imdb_pretrained",
    "imdb_together",
    "imdb_self_trained",
    "imdb_large",
    "addition",
    "multi30k_translation",
    "pronunciation",
    "mnist_renet",
    "mnist_pixels",
    "mnist_permuted",
    "mnist_strings",
    "state_tracking",
    "adding",
    "japanese_vowels",
    "basic_motions",
    "pickup_gesture",
    "arrow_head",
    "osu_leaf",
    "ett_forecast",
    "spoken_digits",
    "bag_of_words",
    "image_folder",
    "text_table",
    "text_pairs",
    "sequence_table",
    "forecast_table",
    "imagenet_cnn_rnn",
)
"""All experiments, in the order in which they are shown."""


def load(name: str) -> Listed:
    """The experiment of that name, ``NAME-VARIANT`` for a variant."""
    module, _, variant = name.partition("-")
    experiment = import_module(f"experiments.{module}").EXPERIMENT
    return experiment.variant(variant) if variant else experiment


def every() -> Iterator[Listed]:
    """All experiments with all their variants, in the order in which they are shown."""
    for name in NAMES:
        experiment = load(name)
        yield experiment
        yield from map(experiment.variant, experiment.variants)

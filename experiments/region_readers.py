"""Readers of film reviews that are variants of ``imdb_pretrained``: what they begin with are regions, or nothing."""

import dataclasses

from experiments.imdb_regions import EXPERIMENT
from rnnjax import Classification, SideInputTextModel, Variant

BEGINS = {"forwards": EXPERIMENT, "backwards": EXPERIMENT.variant("backward")}

FROZEN = Variant(
    "a bidirectional LSTM(128) reads words beside what two frozen LSTM(200) of imdb_regions make of their surroundings",
    optim={"groups": ("^(forwards|backwards)=0",), "language_weight": 0.0},
    replace={
        "model": SideInputTextModel(
            encoder_features=(200,), embedding_dropout=0.3, word_dropout=0.2, word_dropout_of="types", dropout=0.5
        ),
        "task": Classification(),
        "begins": BEGINS,
    },
)

TUNED = Variant(
    "the reader of two language models, with two LSTM(200) of imdb_regions in their place",
    model={"features": (200,)},
    optim={"language_weight": 0.0},
    replace={"task": Classification(), "begins": BEGINS},
)

ADVERSARIAL = dataclasses.replace(
    TUNED, summary="the same reader of regions with adversarial training", optim={**TUNED.optim, "adversarial": 0.02}
)

SCRATCH = Variant(
    "the reader of two LSTM(200) from fresh parameters, trained from the first epoch on",
    model={"features": (200,)},
    optim={"language_weight": 0.0, "groups": ()},
    replace={"task": Classification(), "begins": {}},
)

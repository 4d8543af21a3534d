"""Sentiment of IMDB reviews by a reader of ``imdb_pretrained``, which learns from 50,000 more that models labelled.

``python -m experiments.imdb_together label`` writes what n-grams and the reader together think of the unlabelled
reviews; each counts as much as they are sure of it. It begins as
``imdb_pretrained --variant regions-tuned`` does, and is validated and tested on the same reviews.
"""

import dataclasses
import sys

from experiments.imdb_pretrained import EXPERIMENT as PRETRAINED
from rnnjax import SelfTrainingText, main

READER = PRETRAINED.variant("regions-tuned")

EXPERIMENT = dataclasses.replace(
    READER,
    name="imdb_self_trained",
    summary="the pretrained reader learns also from what it and n-grams together say of 50,000 unlabelled reviews",
    cost="two epochs of 72,500 reviews",
    seeds=(0,),
    data=SelfTrainingText(
        **{field.name: getattr(READER.data, field.name) for field in dataclasses.fields(READER.data)}
    ),
    train=dataclasses.replace(READER.train, epochs=2),
    variants={},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

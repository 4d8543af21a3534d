"""Sentiment of IMDB reviews by the encoders of two language models of 75,000 reviews, one of each direction.

``--chain`` trains those of ``imdb_language_model`` first. They stand still in the first epoch, and their own loss stays
beside the classifier's. Validation is of films that are not trained on; the language models have read its texts too.
"""

import sys

from experiments.imdb_language_model import EXPERIMENT as LANGUAGE_MODEL
from experiments.region_readers import ADVERSARIAL, FROZEN, SCRATCH, TUNED
from rnnjax import (
    ClassificationWithLanguageLoss,
    Experiment,
    OptimConfig,
    ParallelConfig,
    PretrainedTextModel,
    Target,
    TextData,
    TrainConfig,
    main,
)

EXPERIMENT = Experiment(
    name="imdb_pretrained",
    summary="two pretrained LSTM(256), one of each direction, read IMDB reviews",
    target=Target(value=0.918, source="naive-Bayes n-grams: 91.8 %; LSTM with pretraining: 92.8 %"),
    bars=True,
    cost="four epochs of 22,500 reviews a seed",
    seeds=(0, 1, 2),
    data=TextData(
        name="imdb_reviews",
        batch_size=64,
        vocabulary_size=30_000,
        validation_by="names",
        vocabulary_splits=("train", "unsupervised"),
        bucket_lengths=(125, 175, 250, 400, 1000),
    ),
    model=PretrainedTextModel(embedding_dropout=0.2, word_dropout=0.1, word_dropout_of="types", dropout=0.3),
    task=ClassificationWithLanguageLoss(),
    optim=OptimConfig(
        learning_rate=1e-3,
        groups=("^(forwards|backwards)=1@2",),
        label_smoothing=0.05,
        language_weight=0.1,
        ema_decay=0.998,
    ),
    train=TrainConfig(epochs=4, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    begins={"forwards": LANGUAGE_MODEL, "backwards": LANGUAGE_MODEL.variant("backward")},
    variants={
        "scratch": SCRATCH,
        "regions": FROZEN,
        "regions-tuned": TUNED,
        "regions-adversarial": ADVERSARIAL,
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

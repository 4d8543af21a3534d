"""Sentiment of IMDB reviews by a bidirectional LSTM that honours each review's length.

Embedding -> 2 x Bidirectional(LSTM(64)) -> mean, max and last over real words -> one logit, binary cross-entropy.
Keras' example of a bidirectional LSTM reaches 84.3 %, a bag of words 89.0 %. The films of the test split are not those
of the training split, and names tell a film: hence dropout of whole words, which takes a name from all its places in a
review, beside much other regularisation.
"""

import sys

from rnnjax import Experiment, OptimConfig, Target, TextData, TextModel, TrainConfig, main

EXPERIMENT = Experiment(
    name="imdb_bilstm",
    summary="two bidirectional LSTM(64) with masks read IMDB reviews",
    target=Target(value=0.90, source="a bag of words: 89.0 %; Keras' example: 84.3 %"),
    cost="eight epochs of 22,500 reviews a seed",
    seeds=(0, 1, 2),
    bars=True,
    data=TextData(
        name="imdb_reviews",
        batch_size=128,
        vocabulary_size=30_000,
        bucket_lengths=(125, 175, 250, 400, 800),
    ),
    model=TextModel(
        features=(64, 64),
        bidirectional=True,
        pooling=("mean", "max", "last"),
        embedding_features=128,
        embedding_dropout=0.6,
        word_dropout=0.4,
        word_dropout_of="types",
        dropout=0.5,
    ),
    optim=OptimConfig(learning_rate=2e-3, weight_decay=0.1, label_smoothing=0.05, ema_decay=0.998),
    train=TrainConfig(epochs=8, steps_per_call=8),
    sample_texts=(
        "A moving, funny and beautifully acted film. I would gladly see it again.",
        "Two hours of my life that I will not get back. The plot is dull and the acting is worse.",
        "It starts slowly, but the last half hour is wonderful.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

"""Sentiment of IMDB reviews by a convolution over words and an LSTM over what it finds.

Embedding -> Conv1D(5 words, 64 channels), ReLU -> max over every 4 steps -> LSTM -> mean and max -> one logit. The LSTM
reads a quarter of the steps. Padding has no part in the convolution or the pooling. Keras' example reaches 85.0 %.
Dropout of whole words is there for the reason that imdb_bilstm gives; adversarial training, for the same.
"""

import sys

from rnnjax.cli import main
from rnnjax.config import Config, OptimConfig, ParallelConfig, TextData, TextModel, TrainConfig
from rnnjax.experiment import Experiment, Target

EXPERIMENT = Experiment(
    name="imdb_cnn_lstm",
    summary="Conv1D, pooling and an LSTM read IMDB reviews",
    target=Target(accuracy=0.88, source="Keras' example: 85.0 %"),
    cost="eight epochs of 22,500 reviews a seed; its time is in its result files",
    seeds=(0, 1, 2),
    config=Config(
        data=TextData(
            name="imdb_reviews",
            batch_size=128,
            vocabulary_size=30_000,
            bucket_lengths=(125, 175, 250, 400, 800),
        ),
        model=TextModel(
            conv=(64,),
            conv_kernel=5,
            conv_pool=4,
            features=(64,),
            pooling=("mean", "max"),
            embedding_features=128,
            embedding_dropout=0.6,
            word_dropout=0.4,
            word_dropout_of="types",
            dropout=0.5,
        ),
        optim=OptimConfig(
            learning_rate=2e-3, weight_decay=0.1, label_smoothing=0.05, adversarial=0.02, ema_decay=0.998
        ),
        train=TrainConfig(epochs=8, steps_per_call=8),
        parallel=ParallelConfig(cpu_devices=2),
    ),
    sample_texts=(
        "A moving, funny and beautifully acted film. I would gladly see it again.",
        "Two hours of my life that I will not get back. The plot is dull and the acting is worse.",
        "It starts slowly, but the last half hour is wonderful.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

"""Sentiment of IMDB reviews by a small LSTM.

Embedding -> LSTM(32) over all words -> mean and max over real words -> Dense(16, relu) -> one logit, binary
cross-entropy, Adam. This is the model that tutorials begin with; they read its last step alone, without masks.
"""

import sys

from rnnjax.cli import main
from rnnjax.config import Config, OptimConfig, ParallelConfig, TextData, TextModel, TrainConfig
from rnnjax.experiment import Experiment, Target

EXPERIMENT = Experiment(
    name="imdb_lstm",
    summary="Embedding, LSTM(32), Dense(16) reads IMDB reviews",
    target=Target(accuracy=0.87, source="tutorials' models of this size: 84 to 87 %; a bag of words: 89.0 %"),
    cost="six epochs of 22,500 reviews a seed; its time is in its result files",
    seeds=(0, 1, 2),
    config=Config(
        data=TextData(name="imdb_reviews", batch_size=128, vocabulary_size=20_000, bucket_lengths=(200, 400)),
        model=TextModel(
            features=(32,),
            dense=(16,),
            pooling=("mean", "max"),
            embedding_features=64,
            embedding_dropout=0.5,
            word_dropout=0.1,
            dropout=0.2,
        ),
        optim=OptimConfig(optimizer="adam", learning_rate=3e-3, ema_decay=0.998),
        train=TrainConfig(epochs=6, steps_per_call=8),
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

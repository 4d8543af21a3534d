"""Sentiment of IMDB reviews by a convolution over words and an LSTM over what it finds.

Embedding -> Conv1D(5 words, 64 channels), ReLU -> max over every 4 steps -> LSTM -> mean and max -> one logit. The LSTM
reads a quarter of the steps. Padding has no part in the convolution or the pooling. Keras' example reaches 85.0 %.
Dropout of whole words is there for the reason that imdb_bilstm gives; adversarial training, for the same.
"""

import sys
from dataclasses import replace

from experiments import imdb_bilstm
from rnnjax import ParallelConfig, Target, TextModel, main

PARENT = imdb_bilstm.EXPERIMENT

EXPERIMENT = replace(
    PARENT,
    name="imdb_cnn_lstm",
    summary="Conv1D, pooling and an LSTM read IMDB reviews",
    target=Target(value=0.88, source="Keras' example: 85.0 %"),
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
    optim=replace(PARENT.optim, adversarial=0.02),
    parallel=ParallelConfig(cpu_devices=2),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

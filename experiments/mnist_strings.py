"""Strings of 3 to 6 MNIST digits side by side: read from left to right, written digit by digit with attention.

Two convolutions, a bidirectional LSTM over the columns that they leave, and a decoder that looks at them (Bahdanau et
al. 2015, arXiv:1409.0473). The variant classifies each digit by itself, and is told how many there are, which the
reader finds out; in pairs the two are not told apart.
"""

import sys

from experiments.per_column import PerColumn
from rnnjax import (
    RNN,
    Bidirectional,
    Experiment,
    LSTMCell,
    OptimConfig,
    ParallelConfig,
    SequenceToSequence,
    Target,
    TrainConfig,
    Variant,
    main,
)
from rnnjax.data.digit_strings import DigitStringsData
from rnnjax.models.columns import ColumnEncoder
from rnnjax.models.decoder import Decoder
from rnnjax.models.encoder_decoder import EncoderDecoder

TOKENS, LIMIT = 13, 7  # ten digits and three special tokens; six digits and the end
AIM = Target(value=0.97, source="what a digit by itself gives that is right at 99.3 %")

EXPERIMENT = Experiment(
    name="mnist_strings",
    summary="convolutions, a bidirectional LSTM and a decoder with attention read strings of 3 to 6 MNIST digits",
    target=AIM,
    cost="6 epochs of 60,000 strings",
    data=DigitStringsData(name="mnist", batch_size=64, max_shift=2, elastic=1.0, training_strings=60_000),
    model=EncoderDecoder(
        ColumnEncoder((32, 64), Bidirectional(RNN(LSTMCell(128)), RNN(LSTMCell(128), reverse=True)), dropout=0.3),
        Decoder(TOKENS, 32, LSTMCell, (256,), dropout=0.3),
        limit=LIMIT,
    ),
    task=SequenceToSequence(),
    optim=OptimConfig(learning_rate=1e-3, schedule="one-cycle", weight_decay=1e-2, label_smoothing=0.05, clip_norm=1.0),
    train=TrainConfig(epochs=6, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    variants={
        "per_column": Variant(
            summary="each digit by itself, told how many there are: no recurrence",
            replace={
                "model": PerColumn(ColumnEncoder((32, 64), None, dropout=0.3), TOKENS, columns=7, limit=LIMIT),
                "target": AIM.compared,
            },
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

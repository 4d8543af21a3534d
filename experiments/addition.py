"""Sums digit by digit: an encoder reads ``12+345``, a decoder with attention writes ``357``.

The numbers have 1 to 3 digits, and answers are written as usual, their most significant digit first. No pair of numbers
of the test is trained on, in either order. The report also has sums of numbers with 4 and 5 digits, which were not
trained on. The variant adds numbers of up to 8 digits, answers written from their least significant digit on.

Keras's example of this task (LSTM(128), 3 digits, 50,000 sums, 100 epochs) states 99 % of training and test.
"""

import sys

from rnnjax import (
    EncoderDecoderModel,
    Experiment,
    OptimConfig,
    SequenceToSequence,
    Target,
    TrainConfig,
    Variant,
    main,
)
from rnnjax.data.addition import AdditionData

EXPERIMENT = Experiment(
    name="addition",
    summary="an encoder and decoder with attention add numbers of up to 3 digits",
    target=Target(value=0.99, source="Keras's example, addition_rnn: 99 %"),
    bars=True,
    cost="20 epochs of 50,000 sums (100,000 of 8 digits)",
    data=AdditionData(batch_size=128),
    model=EncoderDecoderModel(encoder_features=(64,), features=(128,), embedding_features=32),
    task=SequenceToSequence(),
    optim=OptimConfig(learning_rate=3e-3, schedule="cosine"),
    train=TrainConfig(epochs=20, steps_per_call=16),
    variants={
        "digits_8": Variant(
            summary="the same adds numbers of up to 8 digits, answers from the least significant digit on",
            data={"digits": 8, "order": "least-first", "training_pairs": 100_000},
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

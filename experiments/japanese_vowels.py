"""Japanese vowels (T = 7 to 29, D = 12): who of nine men speaks, of 270 recordings in training.

The steps are 12 coefficients of linear prediction (Kudo, Toyama and Shimbo 1999). The best epoch is chosen by a fifth
of the training recordings, of each speaker.

The file comes with the package aeon, of which nothing is imported, so that what it needs is not needed:

    pip install --no-deps aeon
    python -m experiments.japanese_vowels
    python -m experiments.japanese_vowels --data.path FOLDER   # datasets/data of its wheel, where it is not installed
"""

import sys

from rnnjax import Experiment, OptimConfig, SequenceModel, Target, TrainConfig, main
from rnnjax.data.aeon_sets import AeonData

EXPERIMENT = Experiment(
    name="japanese_vowels",
    summary="a bidirectional GRU(256) tells nine speakers apart by a vowel of 7 to 29 steps",
    target=Target(value=0.98, source="MiniRocket 98.4%"),
    bars=True,
    cost="60 epochs of 216 sequences of at most 29 steps",
    data=AeonData(name="JapaneseVowels", batch_size=16, scaling=0.1, warp_time=0.1, jitter=0.1, mask_time=0.1),
    model=SequenceModel(cell="gru", features=(256,), bidirectional=True, pooling=("mean", "max", "last"), dropout=0.4),
    optim=OptimConfig(learning_rate=3e-3, schedule="cosine", warmup_fraction=0.05, weight_decay=1e-2, ema_decay=0.99),
    train=TrainConfig(epochs=60, steps_per_call=16),
    seeds=(0, 1, 2, 3, 4),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

"""MNIST by convolutions and an LSTM, with the same kind of network without the LSTM beside them.

The LSTM reads feature maps row by row: its step t sees all pixels and channels of row t. Where convolutions follow, its
output at a row is that row of feature maps again. ReNet (Visin et al. 2015, arXiv:1505.00393), with recurrences in four
directions in place of all convolutions, reports 99.55 %. The variants, with the LSTM and without, see images that are
turned, zoomed and distorted like rubber (Simard et al. 2003). The LSTM(224) sees them shifted alone, so the variants'
accuracies compare with each other and not with its own.
"""

import sys

from rnnjax import Experiment, ImageData, ImageModel, OptimConfig, ParallelConfig, Target, TrainConfig, Variant, main

DISTORTED = {"max_rotation": 10.0, "max_zoom": 0.1, "elastic": 1.0}
DEEP = {"conv": (32, 32, 64, 64), "convs_per_pool": 2, "conv_after": (), "pool_early": True}

EXPERIMENT = Experiment(
    name="mnist_cnn_rnn",
    summary="conv(64) → pool → LSTM(224) over the rows → conv(64) → pool reads MNIST",
    target=Target(value=0.996, source="ReNet: 99.55 %"),
    cost="12 epochs of 54,000 images a seed",
    seeds=(0, 1, 2),
    data=ImageData(name="mnist", batch_size=128, max_shift=2),
    model=ImageModel(
        conv=(64,), features=(224,), conv_after=(64,), batch_norm=True, dropout=0.2, pooling=("mean", "max")
    ),
    optim=OptimConfig(learning_rate=3e-3, weight_decay=1e-2, label_smoothing=0.05, ema_decay=0.998),
    train=TrainConfig(epochs=12, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    variants={
        "conv_conv_lstm": Variant(
            "conv(32) → pool → conv(64) → pool → LSTM(128) over the rows reads MNIST",
            data=DISTORTED,
            model={"conv": (32, 64), "features": (128,), "conv_after": (), "pool_early": True},
        ),
        "cnn": Variant(
            "conv(32) → pool → conv(32) → conv(64) → pool → conv(64) reads MNIST: no recurrence",
            data=DISTORTED,
            model={**DEEP, "features": ()},
        ),
        "deep_lstm": Variant(
            "the convolutions of the variant cnn, then an LSTM(192) over the rows, for twice as long",
            data=DISTORTED,
            model={**DEEP, "features": (192,)},
            train={"epochs": 24},
        ),
        "deep_cnn": Variant(
            "the variant cnn for twice as long: no recurrence",
            data=DISTORTED,
            model={**DEEP, "features": ()},
            train={"epochs": 24},
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

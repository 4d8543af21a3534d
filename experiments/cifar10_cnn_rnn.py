"""CIFAR-10 by one stack of convolutions under three heads: an LSTM, a bidirectional LSTM, or pooling over all pixels.

The stack is a VGG (Simonyan and Zisserman 2014, arXiv:1409.1556) with batch norm: three blocks of two 3x3
convolutions and a 2x2 max pooling, here between the two, as in Jordan 2024 (arXiv:2404.00498): at a block's end it
would leave more than twice the multiplications. The recurrent heads read the pixels of the last feature maps one by
one. The pooled head is the bar: a recurrence that does not pass it adds nothing, and none has passed it beyond chance,
here or in the variants ``fast_...``, the same three heads on a stack that learns in fewer epochs
(:mod:`experiments.fast_stack`). Wherever it is not trained, an image's logits are averaged with those of its mirror
image.
"""

import sys

from experiments.fast_stack import VARIANTS
from rnnjax import Experiment, ImageData, ImageModel, OptimConfig, ParallelConfig, Target, TrainConfig, Variant, main

EXPERIMENT = Experiment(
    name="cifar10_cnn_rnn",
    summary="a conv stack with an LSTM over the pixels of its feature maps classifies CIFAR-10",
    target=Target(value=0.8765, source="ReNet: 87.65 %"),
    cost="18 epochs of 45,000 images",
    data=ImageData(name="cifar10", batch_size=128, max_shift=4, shift_padding="reflect", flip=True, cutout=8),
    model=ImageModel(
        conv=(64, 64, 128, 128, 256, 256),
        convs_per_pool=2,
        pool_early=True,
        batch_norm=True,
        mirror=True,
        dropout=0.2,
        pooling=("mean", "max"),
        features=(256,),
        read_by="pixels",
    ),
    optim=OptimConfig(learning_rate=3e-3, weight_decay=0.2, label_smoothing=0.1, ema_decay=0.998),
    train=TrainConfig(epochs=18, steps_per_call=8),
    parallel=ParallelConfig(cpu_devices=2),
    variants={
        "bilstm": Variant("the same conv stack with a bidirectional LSTM", model={"bidirectional": True}),
        "pooled": Variant(
            "the same conv stack with a pooled head: no recurrence", model={"features": (), "read_by": "rows"}
        ),
        **VARIANTS,
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

"""ImageNet (ILSVRC 2012, 1,000 classes): a bidirectional LSTM reads the rows of a conv stack's 14 x 14 feature maps.

Images are streamed and decoded anew in every epoch: training sees random crops of 224 x 224 pixels, flipped half the
time; the test is the center crop of TFDS's ``validation``, since the labels of its ``test`` are not public, and the
split that chooses the checkpoint is cut from ``train``.

Cost: 90 epochs of 1.27 million images, 156 GiB of JPEGs on disk, all of which the first run reads once for the labels.
The model takes about 3.3e9 multiply-adds an image forward. It is meant for accelerators, and for as many cores decoding
as keep them busy: each epoch's line says which of the two sets the speed.
"""

import sys

from rnnjax import Experiment, ImageData, ImageModel, OptimConfig, Target, TrainConfig, main

EXPERIMENT = Experiment(
    name="imagenet_cnn_rnn",
    summary="convolutions and a bidirectional LSTM over their feature rows classify ImageNet",
    target=Target(value=0.565, source="AlexNet in torchvision: 56.5 % on one center crop"),
    cost="90 epochs of 1.27 million images of 224 x 224 pixels, for accelerators",
    data=ImageData(
        name="imagenet2012", batch_size=512, validation_fraction=0.01, crop_size=224, test_split="validation"
    ),
    model=ImageModel(
        conv=(64, 128, 256, 512),
        batch_norm=True,
        features=(512,),
        bidirectional=True,
        pooling=("mean",),
        dropout=0.2,
        dtype="bfloat16",
    ),
    optim=OptimConfig(
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        warmup_fraction=0.05,
        weight_decay=5e-2,
        label_smoothing=0.1,
        ema_decay=0.9999,
    ),
    # A streamed call's images lie on the devices all at once, and those of the next two calls on the host.
    train=TrainConfig(epochs=90, steps_per_call=2),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

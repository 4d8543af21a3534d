"""A folder of your own images, one sub-folder a class: convolutions, then an LSTM over rows of their feature maps.

    python -m experiments.image_folder --data.data-dir PHOTOS

Images of any sizes are resized to one size (``--data.height``, ``--data.width``), in color or grey (``--data.color``).
A folder with sub-folders ``train`` and ``test`` is taken as it is split; of any other, a fifth of each class is the
test split, always the same. ``--data.flip`` mirrors images in training, where a mirrored image is as good as another.
The work folder is ``runs/image_folder/seed-0``: for a second folder of images, name another ``--runs-dir``.
"""

import sys

from rnnjax import Experiment, ImageFolderData, ImageModel, OptimConfig, TrainConfig, main

EXPERIMENT = Experiment(
    name="image_folder",
    summary="convolutions and an LSTM classify the images in a folder of yours",
    target=None,
    cost="grows with the number of images and their size",
    data=ImageFolderData(batch_size=16, validation_fraction=0.2, max_shift=2, shift_padding="reflect"),
    model=ImageModel(
        conv=(32, 64, 128),
        features=(128,),
        batch_norm=True,
        dropout=0.2,
        pooling=("mean", "max"),
        bidirectional=True,
    ),
    optim=OptimConfig(learning_rate=2e-3, weight_decay=1e-2, label_smoothing=0.05, ema_decay=0.99),
    train=TrainConfig(epochs=30, steps_per_call=8),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

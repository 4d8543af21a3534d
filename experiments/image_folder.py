"""Images of your own, one sub-folder a class: convolutions, then an LSTM over rows of their feature maps.

    python -m experiments.image_folder --data.data-dir PHOTOS

It is ``python -m rnnjax image PHOTOS`` of an installed package, and defined in :mod:`rnnjax.own`.

Images of any sizes are resized to one size (``--data.height``, ``--data.width``), in color or grey (``--data.color``).
A folder or .zip with sub-folders ``train``, ``val`` and ``test`` is taken as it is split; what is missing is cut from
train, by class and always the same. A table of labels beside the images (``labels.csv``) or plain names (``cat.0.jpg``)
may tell the classes instead of folders. ``--data.flip`` mirrors images in training, where a mirrored image is as good
as another.
The work folder is ``runs/image_folder/seed-0``: for a second folder of images, name another ``--runs-dir``.
"""

import sys

from rnnjax import main
from rnnjax.own import IMAGES as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

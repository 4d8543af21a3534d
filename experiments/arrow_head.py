"""Arrow heads (T = 251, D = 1): which of three kinds an outline has, of 36 in training.

The outlines of images are series of angles (Ye and Keogh 2009). Three convolutions with batch norm and pooling make 32
steps of 251.

    python -m experiments.arrow_head

See japanese_vowels.py for where the file comes from.
"""

import sys
from dataclasses import replace

from experiments import japanese_vowels
from rnnjax import Target, main

PARENT = japanese_vowels.EXPERIMENT

EXPERIMENT = replace(
    PARENT,
    name="arrow_head",
    summary="convolutions and a bidirectional GRU(64) tell three kinds of arrow heads apart by their outlines",
    target=Target(value=0.81, source="ROCKET 81.4%"),
    cost="100 epochs of 28 sequences of 251 steps",
    data=replace(PARENT.data, name="ArrowHead", batch_size=8),
    model=replace(PARENT.model, conv=(128, 256, 128), conv_kernel=7, batch_norm=True, features=(64,)),
    train=replace(PARENT.train, epochs=100),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

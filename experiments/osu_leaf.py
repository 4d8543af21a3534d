"""Leaves (T = 427, D = 1): which of six trees an outline is of, of 200 in training.

The outlines run against the clock (Grandhi's thesis). Two convolutions with pooling make 107 steps of 427.

    python -m experiments.osu_leaf

See japanese_vowels.py for where the file comes from.
"""

import sys
from dataclasses import replace

from experiments import japanese_vowels
from rnnjax import Target, main

PARENT = japanese_vowels.EXPERIMENT

EXPERIMENT = replace(
    PARENT,
    name="osu_leaf",
    summary="convolutions and a bidirectional GRU(64) tell the leaves of six trees apart by their outlines",
    target=Target(value=0.94, source="ROCKET 94.1%"),
    cost="100 epochs of 160 sequences of 427 steps",
    data=replace(PARENT.data, name="OSULeaf", batch_size=16),
    model=replace(PARENT.model, conv=(32, 64), batch_norm=True, features=(64,)),
    train=replace(PARENT.train, epochs=100),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

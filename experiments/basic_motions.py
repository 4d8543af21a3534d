"""Basic motions (T = 100, D = 6): standing, walking, running or badminton, of 40 recordings of a smart watch.

Six channels are acceleration and rotation, ten times a second. Of the 40 in the test, one is 2.5 %; random convolutions
are published without an error.

    python -m experiments.basic_motions

See japanese_vowels.py for where the file comes from.
"""

import sys
from dataclasses import replace

from experiments import japanese_vowels
from rnnjax import Target, main

PARENT = japanese_vowels.EXPERIMENT

EXPERIMENT = replace(
    PARENT,
    name="basic_motions",
    summary="a bidirectional GRU(64) tells four motions apart by 100 steps of a smart watch",
    target=Target(value=0.975, source="MiniRocket 100%, of 40 sequences"),
    cost="100 epochs of 32 sequences of 100 steps",
    data=replace(PARENT.data, name="BasicMotions", batch_size=8),
    model=replace(PARENT.model, features=(64,)),
    train=replace(PARENT.train, epochs=100),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

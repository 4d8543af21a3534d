"""Picking something up (T = 29 to 361, D = 1): who of ten did it, of 50 recordings of a hand's acceleration.

There are five recordings of each person to train on, one of which chooses the best epoch, and five to test on.

    python -m experiments.pickup_gesture

See japanese_vowels.py for where the file comes from.
"""

import sys
from dataclasses import replace

from experiments import japanese_vowels
from rnnjax import Target, main

PARENT = japanese_vowels.EXPERIMENT

EXPERIMENT = replace(
    PARENT,
    name="pickup_gesture",
    summary="convolutions and a bidirectional GRU(64) tell ten people apart by how a hand picks something up",
    target=Target(value=0.83, source="ROCKET 83.0%"),
    cost="100 epochs of 40 sequences of at most 361 steps",
    data=replace(PARENT.data, name="PickupGestureWiimoteZ", batch_size=8),
    model=replace(PARENT.model, conv=(64, 128), batch_norm=True, features=(64,)),
    train=replace(PARENT.train, epochs=100),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))

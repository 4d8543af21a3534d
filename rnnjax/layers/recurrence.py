"""Recurrence over a sequence: one direction, two directions, and stacks of layers.

All three are called alike and return alike, so that each can stand where another stands:

    carry, outputs = layer(inputs, lengths=lengths, train=train)

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from rnnjax.layers.bidirectional import Bidirectional
from rnnjax.layers.masks import sequence_mask
from rnnjax.layers.pooling import pool
from rnnjax.layers.rnn import RNN
from rnnjax.layers.stacked import StackedRNN

__all__ = ["RNN", "Bidirectional", "StackedRNN", "pool", "sequence_mask"]

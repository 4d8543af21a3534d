"""Recurrent cells: one step of each recurrence, in two phases (see :mod:`rnnjax.cells.base`)."""

from rnnjax.cells.base import Array, Carry, Initializer, Noise, RecurrentCell
from rnnjax.cells.gru import GRUCell, ResetBeforeGRUCell
from rnnjax.cells.initializers import chrono, identity
from rnnjax.cells.linear import LinearCell, LRUCell, MinGRUCell
from rnnjax.cells.lstm import CoupledLSTMCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell
from rnnjax.cells.normalized import LayerNormGRUCell, LayerNormLSTMCell
from rnnjax.cells.simple import SimpleRNNCell

__all__ = [
    "Array",
    "Carry",
    "CoupledLSTMCell",
    "GRUCell",
    "Initializer",
    "LRUCell",
    "LSTMCell",
    "LayerNormGRUCell",
    "LayerNormLSTMCell",
    "LinearCell",
    "MinGRUCell",
    "Noise",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "RecurrentCell",
    "ResetBeforeGRUCell",
    "SimpleRNNCell",
    "chrono",
    "identity",
]

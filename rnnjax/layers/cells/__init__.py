"""Recurrent cells: one step of each recurrence, in two phases (see :mod:`rnnjax.layers.cells.base`)."""

from rnnjax.layers.cells.base import SILENT, Array, Carry, Initializer, Noise, RecurrentCell
from rnnjax.layers.cells.gru import GRUCell, ResetBeforeGRUCell
from rnnjax.layers.cells.initializers import chrono, identity
from rnnjax.layers.cells.linear import LinearCell, LRUCell, MinGRUCell
from rnnjax.layers.cells.lstm import CoupledLSTMCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell
from rnnjax.layers.cells.normalized import LayerNormGRUCell, LayerNormLSTMCell
from rnnjax.layers.cells.simple import SimpleRNNCell

CELLS: dict[str, type[RecurrentCell]] = {
    "simple_rnn": SimpleRNNCell,
    "lstm": LSTMCell,
    "peephole_lstm": PeepholeLSTMCell,
    "projected_lstm": ProjectedLSTMCell,
    "coupled_lstm": CoupledLSTMCell,
    "layer_norm_lstm": LayerNormLSTMCell,
    "gru": GRUCell,
    "reset_before_gru": ResetBeforeGRUCell,
    "layer_norm_gru": LayerNormGRUCell,
    "min_gru": MinGRUCell,
    "lru": LRUCell,
}
"""Every cell of the library by its name in configurations; each is made as ``CELLS[name](features, dtype=dtype)``."""

__all__ = [
    "CELLS",
    "SILENT",
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

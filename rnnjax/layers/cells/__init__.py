"""Recurrent cells: one step of each recurrence, in two phases (see :mod:`rnnjax.layers.cells.base`)."""

from importlib import import_module

from rnnjax.layers.cell_names import CELL_CLASSES
from rnnjax.layers.cells.base import SILENT, Array, Carry, Initializer, Noise, RecurrentCell
from rnnjax.layers.cells.gru import GRUCell, ResetBeforeGRUCell
from rnnjax.layers.cells.initializers import chrono, identity
from rnnjax.layers.cells.linear import LinearCell, LRUCell, MinGRUCell
from rnnjax.layers.cells.lstm import CoupledLSTMCell, LSTMCell, PeepholeLSTMCell, ProjectedLSTMCell
from rnnjax.layers.cells.normalized import LayerNormGRUCell, LayerNormLSTMCell
from rnnjax.layers.cells.simple import SimpleRNNCell


def _class(path: str) -> type[RecurrentCell]:
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"rnnjax.layers.cells.{module}"), name)


CELLS = {name: _class(path) for name, path in CELL_CLASSES.items()}
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

"""Every cell of the library by its name in configurations: a new cell is a file of ``cells/`` and a line here.

The classes are named, not imported: ``--model.cell`` and ``--help`` show the names without waiting for Flax.
"""

CELL_CLASSES = {
    "simple_rnn": "simple.SimpleRNNCell",
    "lstm": "lstm.LSTMCell",
    "peephole_lstm": "lstm.PeepholeLSTMCell",
    "projected_lstm": "lstm.ProjectedLSTMCell",
    "coupled_lstm": "lstm.CoupledLSTMCell",
    "layer_norm_lstm": "normalized.LayerNormLSTMCell",
    "gru": "gru.GRUCell",
    "reset_before_gru": "gru.ResetBeforeGRUCell",
    "layer_norm_gru": "normalized.LayerNormGRUCell",
    "min_gru": "linear.MinGRUCell",
    "lru": "linear.LRUCell",
}
"""``MODULE.CLASS`` below :mod:`rnnjax.layers.cells`; each is made as ``Class(features, dtype=dtype)``."""

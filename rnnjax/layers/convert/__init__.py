"""Weights and carries from and to PyTorch's, Keras' and Flax' recurrent layers, and the plain layers beside them.

Pure functions over arrays: no framework is imported, and everything returned is NumPy: new arrays in C order, which
share no memory with what was given. Tensors that require gradients are taken without their history, and PyTorch's
bfloat16, which NumPy has not, as float32 of the same values.

``kind`` names the layer: ``"rnn"`` (torch.nn.RNN, keras SimpleRNN), ``"lstm"`` or ``"gru"``. The
tree of one direction is ``{"cell": {...}}``, as the parameters of an :class:`~rnnjax.layers.rnn.RNN`;
of two directions ``{"forward": ..., "backward": ...}``, as of a ``Bidirectional``; a PyTorch module
becomes ``{"layers_0": ..., "layers_1": ...}``, as of a ``StackedRNN``. :func:`fitted` gives a tree the form of a layer
of yours, and says where it does not fit.

Gate orders: ours are PyTorch's (LSTM i, f, g, o; GRU r, z, n); Keras' GRU has z, r, n.
"""

from rnnjax.layers.convert.carries import carry_from_keras, carry_from_torch, carry_to_keras, carry_to_torch
from rnnjax.layers.convert.equinox import from_equinox, to_equinox
from rnnjax.layers.convert.fit import fitted
from rnnjax.layers.convert.flax import from_flax, to_flax
from rnnjax.layers.convert.keras import from_keras, from_keras_stack, to_keras, to_keras_stack
from rnnjax.layers.convert.keras_layers import layer_from_keras
from rnnjax.layers.convert.nnx import from_nnx, to_nnx
from rnnjax.layers.convert.plain import (
    dense_from_torch,
    dense_to_torch,
    embedding_from_torch,
    embedding_to_torch,
)
from rnnjax.layers.convert.torch import cell_from_torch, cell_to_torch, from_torch, to_torch

__all__ = [
    "carry_from_keras",
    "carry_from_torch",
    "carry_to_keras",
    "carry_to_torch",
    "cell_from_torch",
    "cell_to_torch",
    "dense_from_torch",
    "dense_to_torch",
    "embedding_from_torch",
    "embedding_to_torch",
    "fitted",
    "from_equinox",
    "from_flax",
    "from_keras",
    "from_keras_stack",
    "from_nnx",
    "from_torch",
    "layer_from_keras",
    "to_equinox",
    "to_flax",
    "to_keras",
    "to_keras_stack",
    "to_nnx",
    "to_torch",
]

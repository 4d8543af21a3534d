"""A recurrence that returns its outputs alone, as most modules do."""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from rnnjax.layers.beside import recurrence
from rnnjax.layers.cells import Carry

Array = jax.Array


class Outputs(nn.Module):
    """The outputs of a recurrence without its carry, so that it can stand in an ``nn.Sequential``::

        nn.Sequential([nn.Dense(32), Outputs(RNN(LSTMCell(64))), nn.Dense(10)])

    ``nn.Sequential`` hands a pair on as two arguments. The parameters lie where those of ``layer`` itself would, so
    that either takes the other's.

    Attributes:
      layer: a :class:`rnnjax.RNN`, :class:`rnnjax.Bidirectional` or :class:`rnnjax.StackedRNN`, or what is called like
        one. As ``nn.Sequential`` passes options to its first module alone, give others ``train`` as an attribute.
    """

    layer: nn.Module

    returns_carry: ClassVar[bool] = False
    """What keeps carries, as a stack, asks."""

    def __post_init__(self):
        recurrence("Outputs", self.layer)
        super().__post_init__()

    def setup(self):
        nn.share_scope(self, self.layer)

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """The outputs ``[..., T, H]`` for ``inputs [..., T, D]``; options are those of the layer's call."""
        return self.layer(inputs, **options)[1]

    @property
    def features(self) -> int:
        """Features of the outputs."""
        return self.layer.features  # pyright: ignore[reportAttributeAccessIssue]

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> Carry:
        """As :meth:`rnnjax.RNN.initialize_carry`, of the layer: what its call takes for ``initial_carry``."""
        return self.layer.initialize_carry(rng, input_shape, dtype)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def backward_features(self) -> int:
        """As :attr:`rnnjax.RNN.backward_features`, of the layer."""
        return self.layer.backward_features  # pyright: ignore[reportAttributeAccessIssue]

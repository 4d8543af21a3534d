"""A recurrence that returns its outputs alone, as most modules do."""

from typing import Any

import flax.linen as nn
import jax

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

    def setup(self):
        nn.share_scope(self, self.layer)

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """The outputs ``[..., T, H]`` for ``inputs [..., T, D]``; options are those of the layer's call."""
        return self.layer(inputs, **options)[1]

    @property
    def backward_features(self) -> int:
        """As :attr:`rnnjax.RNN.backward_features`, of the layer."""
        return self.layer.backward_features  # pyright: ignore[reportAttributeAccessIssue]

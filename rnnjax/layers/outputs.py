"""A recurrence that returns its outputs alone, as most modules do."""

from collections.abc import Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from rnnjax.errors import UsageError
from rnnjax.layers.carried import Carried
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
        if not isinstance(self.layer, nn.Module):
            raise UsageError(f"Outputs: give a layer, as in Outputs(RNN(LSTMCell(64))), got {self.layer!r}")
        if isinstance(self.layer, Outputs | Carried):  # in one place for parameters both would have a `layer`
            raise UsageError(
                f"Outputs cannot stand around {type(self.layer).__name__}; in a module of yours, "
                "_, outputs = Carried(layer)(inputs) gives them"
            )
        super().__post_init__()

    def setup(self):
        nn.share_scope(self, self.layer)

    def __call__(self, inputs: Array, **options: Any) -> Array:
        """The outputs ``[..., T, H]`` for ``inputs [..., T, D]``; options are those of the layer's call.

        Raises:
          UsageError: if the layer returns something else than a carry and outputs, and as it does.
        """
        made = self.layer(inputs, **options)  # pyright: ignore[reportCallIssue]
        if not isinstance(made, tuple) or len(made) != 2:  # of outputs alone, [1] would be a row
            kind = type(self.layer).__name__
            raise UsageError(f"Outputs: {kind} does not return (carry, outputs), so that it needs no Outputs around it")
        return made[1]

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

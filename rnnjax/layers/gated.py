"""A gated linear layer, for what stands between linear recurrences."""

from typing import Any

import flax.linen as nn
import jax

from rnnjax.errors import UsageError

Array = jax.Array


class GatedLinear(nn.Module):
    r"""A gated linear unit (Dauphin et al. 2017, arXiv:1612.08083, equation 1).

    .. math:: y = (x W + b) \odot \sigma(x V + c)

    ``dense`` holds ``[D, 2H]`` and ``[2H]``: W and V, b and c one after the other. What a step makes is of that step
    alone, so that it may stand in a :class:`rnnjax.StackedRNN` that streams.

    Attributes:
      features: H.
      dtype: of the computation; None: of inputs and parameters.

    Raises:
      UsageError: if ``features`` is not positive.
    """

    features: int
    dtype: Any = None

    def __post_init__(self):
        if self.features < 1:
            raise UsageError(f"GatedLinear: features must be positive, got {self.features}")
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """``[..., D]`` to ``[..., H]``."""
        return nn.glu(nn.Dense(2 * self.features, dtype=self.dtype, name="dense")(inputs))

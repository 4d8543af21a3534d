"""The simple (Elman) recurrence."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.layers import fused
from rnnjax.layers.cells.base import SILENT, Array, Noise, RecurrentCell


class SimpleRNNCell(RecurrentCell):
    r"""Elman's recurrence, :math:`h' = \phi(x W + h U + b)` (Elman 1990, "Finding structure in time").

    With ``activation=nn.relu`` and ``recurrent_init=identity`` it is the IRNN of Le, Jaitly and
    Hinton (2015, arXiv:1504.00941). Parameters: ``input_kernel [D, H]``, ``recurrent_kernel [H, H]``,
    ``bias [H]``. Carry: ``h [..., H]``.
    """

    activation: Callable[[Array], Array] = jnp.tanh

    def step(self, carry: Array, projected: Array, noise: Noise = SILENT) -> tuple[Array, Array]:
        hidden = self.activation(projected + self._recurrent(carry, 1, noise))
        return hidden, hidden

    @nn.nowrap
    def fused_obstacle(self) -> str | None:
        if not self._computes_as(SimpleRNNCell):
            return super().fused_obstacle()
        if self.activation not in (jnp.tanh, nn.relu):
            return "its activation is neither jnp.tanh nor nn.relu, whose slopes are known"
        return None

    def fused_sequence(self, inputs, carry, mask, extras, noise, **options):
        inputs, kernel, bias = self._input_operands(inputs, self.gates)
        recurrent = self._masked_kernel(carry, noise)
        options |= {"activation": self.activation, "bias": bias}
        return fused.run(fused.simple_rnn_sequence, inputs, kernel, [recurrent], carry, mask, extras, **options)

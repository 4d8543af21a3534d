"""Gated recurrent units, with the reset gate after or before the recurrent product."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.layers import fused, pallas
from rnnjax.layers.cells.base import SILENT, Array, Noise, RecurrentCell
from rnnjax.layers.ranks import at_rank_of


class GRUCell(RecurrentCell):
    r"""Gated recurrent unit with the reset gate after the product (Cho et al. 2014, arXiv:1406.1078).

    .. math::
        r, z = \sigma(x W_{rz} + h U_{rz} + b_{rz}), \quad
        n = \tanh(x W_n + b_n + r \odot (h U_n + b_{hn})), \quad h' = (1 - z) \odot n + z \odot h

    This is the variant of PyTorch, cuDNN and Keras' ``reset_after=True``. Gate order r, z, n:
    ``input_kernel [D, 3H]``, ``recurrent_kernel [H, 3H]``, ``bias [3H]`` and ``recurrent_bias [H]``
    (of the candidate; it does not fold into ``bias``). Carry: ``h [..., H]``.
    """

    gates: ClassVar[int] = 3

    def step(self, carry: Array, projected: Array, noise: Noise = SILENT) -> tuple[Array, Array]:
        recurrent_bias = self._parameter("recurrent_bias", self.bias_init, self.features)
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self._recurrent(carry, 3, noise), 3, axis=-1)
        r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + at_rank_of(recurrent_bias.astype(h_n.dtype), h_n)))
        hidden = n + z * (carry - n)
        return hidden, hidden

    @nn.nowrap
    def fused_obstacle(self) -> str | None:
        return None if self._computes_as(GRUCell) else super().fused_obstacle()

    def fused_sequence(self, inputs, carry, mask, extras, noise, **options):
        return self._at_once(fused.gru_sequence, inputs, carry, mask, extras, noise, **options)

    @nn.nowrap
    def pallas_obstacle(self) -> str | None:
        return None if self._computes_as(GRUCell) else super().pallas_obstacle()

    def pallas_sequence(self, inputs, carry, mask, extras, noise, **options):
        return self._at_once(pallas.gru_sequence, inputs, carry, mask, extras, noise, **options)

    def _at_once(self, sequence, inputs, carry, mask, extras, noise, **options):
        inputs, kernel, bias = self._input_operands(inputs, self.gates)
        # As in step: parameters are drawn in the order in which they are first named.
        recurrent_bias = self._parameter("recurrent_bias", self.bias_init, self.features)
        recurrent = self._masked_kernel(carry, noise)
        parameters = [recurrent, recurrent_bias]
        return fused.run(sequence, inputs, kernel, parameters, carry, mask, extras, bias=bias, **options)


class ResetBeforeGRUCell(RecurrentCell):
    r"""Gated recurrent unit with the reset gate before the product, Keras' ``reset_after=False``.

    .. math::
        r, z = \sigma(x W_{rz} + h U_{rz} + b_{rz}), \quad
        n = \tanh(x W_n + b_n + (r \odot h) U_n), \quad h' = (1 - z) \odot n + z \odot h

    (Cho et al. 2014, arXiv:1406.1078, equations 5-8.) Gate order r, z, n: ``input_kernel [D, 3H]``,
    ``recurrent_kernel [H, 3H]``, ``bias [3H]``. Carry: ``h [..., H]``.
    """

    gates: ClassVar[int] = 3

    def step(self, carry: Array, projected: Array, noise: Noise = SILENT) -> tuple[Array, Array]:
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        hidden, kernel = self._recurrent_kernel(carry, 3, noise)
        h_r, h_z = jnp.split(hidden @ kernel[:, : 2 * self.features], 2, axis=-1)
        r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + (r * hidden).astype(kernel.dtype) @ kernel[:, 2 * self.features :])
        hidden = n + z * (carry - n)
        return hidden, hidden

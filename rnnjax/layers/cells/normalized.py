"""Layer-normalised cells (Ba, Kiros and Hinton 2016, arXiv:1607.06450)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from rnnjax.layers.cells.base import SILENT, Array, Noise, RecurrentCell
from rnnjax.layers.cells.gru import GRUCell
from rnnjax.layers.cells.initializers import single_or_wider
from rnnjax.layers.cells.lstm import LSTMCell
from rnnjax.layers.ranks import at_rank_of


class LayerNormLSTMCell(LSTMCell):
    r"""LSTM with layer normalisation (arXiv:1607.06450, supplementary material, LSTM).

    .. math::
        i, f, g, o = LN(x W; \alpha_x) + LN(h U; \alpha_h) + b, \quad
        c' = \sigma(f) \odot c + \sigma(i) \odot \tanh(g), \quad
        h' = \sigma(o) \odot \tanh(LN(c'; \alpha_c, \beta_c))

    Mean and variance are those of all 4H sums together, as in the paper; the shifts of the first
    two norms are one with ``bias``. Parameters: those of :class:`LSTMCell`, ``input_scale [4H]``,
    ``recurrent_scale [4H]``, ``cell_scale [H]`` and ``cell_shift [H]``.

    Attributes:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-5

    def project(self, inputs: Array) -> Array:
        kernel = self._kernel("input_kernel", self.input_init, inputs.shape[-1], 4)
        bias = self._parameter("bias", self._gate_bias(4, forget=1, enter=0), 4 * self.features)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return _scaled(self, "input_scale", inputs @ kernel) + at_rank_of(bias, inputs)

    def step(self, carry, projected: Array, noise: Noise = SILENT):
        cell, hidden = carry
        recurrent = _scaled(self, "recurrent_scale", self._recurrent(hidden, 4, noise))
        i, f, g, o = jnp.split(projected + recurrent, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        shift = self._parameter("cell_shift", nn.initializers.zeros, self.features).astype(cell.dtype)
        hidden = nn.sigmoid(o) * jnp.tanh(_scaled(self, "cell_scale", cell) + at_rank_of(shift, cell))
        return (cell, hidden), hidden


class LayerNormGRUCell(GRUCell):
    r"""GRU with layer normalisation (arXiv:1607.06450, supplementary material, GRU).

    .. math::
        r, z = \sigma(LN(x W_{rz}; \alpha_1) + LN(h U_{rz}; \alpha_2) + b_{rz}) \\
        n = \tanh(LN(x W_n; \alpha_3) + b_n + r \odot (LN(h U_n; \alpha_4) + b_{hn})), \quad
        h' = (1 - z) \odot n + z \odot h

    (Our z is the paper's 1 - z, as everywhere in this package.) Both gates are normalised together,
    the candidate by itself. Parameters: those of :class:`GRUCell`, ``input_scale [3H]`` and
    ``recurrent_scale [3H]``.

    Attributes:
      epsilon: added to the variance.
    """

    epsilon: float = 1e-5

    def project(self, inputs: Array) -> Array:
        kernel = self._kernel("input_kernel", self.input_init, inputs.shape[-1], 3)
        bias = self._parameter("bias", self.bias_init, 3 * self.features)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return _scaled(self, "input_scale", inputs @ kernel, 2 * self.features) + at_rank_of(bias, inputs)

    def step(self, carry: Array, projected: Array, noise: Noise = SILENT) -> tuple[Array, Array]:
        recurrent_bias = self._parameter("recurrent_bias", self.bias_init, self.features)
        recurrent = _scaled(self, "recurrent_scale", self._recurrent(carry, 3, noise), 2 * self.features)
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(recurrent, 3, axis=-1)
        r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + at_rank_of(recurrent_bias.astype(h_n.dtype), h_n)))
        hidden = n + z * (carry - n)
        return hidden, hidden


def _scaled(cell: RecurrentCell, name: str, sums: Array, split: int | None = None) -> Array:
    """Normalises the last axis (its two parts apart where ``split``) and scales it by parameter ``name``."""
    scale = cell._parameter(name, nn.initializers.ones, sums.shape[-1]).astype(sums.dtype)
    parts = [sums] if split is None else [sums[..., :split], sums[..., split:]]
    return jnp.concatenate([_normalized(part, cell.epsilon) for part in parts], axis=-1) * at_rank_of(scale, sums)


def _normalized(sums: Array, epsilon: float) -> Array:
    # Statistics of half-precision sums are taken in float32.
    wide = sums.astype(single_or_wider(sums.dtype))
    centred = wide - wide.mean(-1, keepdims=True)
    return (centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)).astype(sums.dtype)

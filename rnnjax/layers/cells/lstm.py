"""Long short-term memory and its variants. Carry: ``(c, h)``."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.core import Tracer

from rnnjax.errors import UsageError
from rnnjax.layers import cudnn, fused, pallas
from rnnjax.layers.cells.base import SILENT, Array, Initializer, Noise, RecurrentCell
from rnnjax.layers.cells.initializers import chrono, glorot
from rnnjax.layers.ranks import at_rank_of

Carry = tuple[Array, Array]


class LSTMCell(RecurrentCell):
    r"""Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    .. math::
        i, f, o = \sigma(x W_{ifo} + h U_{ifo} + b_{ifo}), \quad g = \tanh(x W_g + h U_g + b_g) \\
        c' = f \odot c + i \odot g, \quad h' = o \odot \tanh(c')

    Gates are fused in the order i, f, g, o, as in PyTorch, Keras and cuDNN: ``input_kernel [D, 4H]``,
    ``recurrent_kernel [H, 4H]``, ``bias [4H]``. Carry: ``(c, h)``, each ``[..., H]``.

    Attributes:
      forget_bias: added to the forget gate's bias when it is initialised (Jozefowicz et al. 2015
        recommend 1, as Keras does; PyTorch and Flax start from 0).
      chrono_steps: the longest memory expected, in steps; if given, the biases of the forget and
        the input gate are drawn for it (:func:`rnnjax.layers.cells.chrono`) and ``forget_bias`` is unused.
    """

    forget_bias: float = 1.0
    chrono_steps: int | None = None

    gates: ClassVar[int] = 4
    carry_parts: ClassVar[tuple[str, ...]] = ("c", "h")

    @nn.nowrap
    def initialize_carry(self, rng, input_shape, dtype=None):
        zeros = super().initialize_carry(rng, input_shape, dtype)
        # An array each, so that a loop can donate both; in what is traced there is nothing to donate yet.
        return zeros, zeros if isinstance(zeros, Tracer) else jnp.zeros_like(zeros)

    def readout(self, carry: Carry, projected: Array) -> Array:
        return carry[1]

    @nn.nowrap
    def _input_bias_init(self) -> Initializer:
        return self._gate_bias(4, forget=1, enter=0)

    def step(self, carry: Carry, projected: Array, noise: Noise = SILENT) -> tuple[Carry, Array]:
        cell, hidden = carry
        i, f, g, o = jnp.split(projected + self._recurrent(hidden, 4, noise), 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        return (cell, hidden), hidden

    @nn.nowrap
    def fused_obstacle(self) -> str | None:
        return None if self._computes_as(LSTMCell) else super().fused_obstacle()

    def fused_sequence(self, inputs, carry, mask, extras, noise, **options):
        return self._at_once(fused.lstm_sequence, inputs, carry, mask, extras, noise, **options)

    @nn.nowrap
    def pallas_obstacle(self) -> str | None:
        return None if self._computes_as(LSTMCell) else super().pallas_obstacle()

    def pallas_sequence(self, inputs, carry, mask, extras, noise, **options):
        return self._at_once(pallas.lstm_sequence, inputs, carry, mask, extras, noise, **options)

    def _at_once(self, sequence, inputs, carry, mask, extras, noise, **options):
        inputs, kernel, bias = self._input_operands(inputs, self.gates)
        recurrent = self._masked_kernel(carry[1], noise)
        return fused.run(sequence, inputs, kernel, [recurrent], carry, mask, extras, bias=bias, **options)

    @nn.nowrap
    def cudnn_obstacle(self) -> str | None:
        return None if self._computes_as(LSTMCell) else super().cudnn_obstacle()

    def cudnn_sequence(self, inputs, carry, lengths, noise, *, reverse):
        inputs, kernel, bias = self._input_operands(inputs, 4)
        recurrent = self._masked_kernel(carry[1], noise)
        return cudnn.lstm_sequence(inputs, kernel, recurrent, bias, carry, lengths, reverse=reverse)

    @nn.nowrap
    def _gate_bias(self, gates: int, forget: int, enter: int | None) -> Initializer:
        """Initialiser of the fused bias; ``forget`` and ``enter`` are the places of f and i among the gates."""

        def init(key, shape, dtype):
            base_key, chrono_key = jax.random.split(key)

            def shifted(biases):
                biases = biases.reshape(gates, -1)
                if self.chrono_steps is None:
                    return biases.at[forget].add(self.forget_bias).reshape(shape)
                memory = chrono(self.chrono_steps)(chrono_key, (self.features,), dtype)
                biases = biases.at[forget].add(memory)
                return (biases if enter is None else biases.at[enter].add(-memory)).reshape(shape)

            return jax.tree.map(shifted, self.bias_init(base_key, shape, dtype))  # they may be boxed

        return init


class PeepholeLSTMCell(LSTMCell):
    r"""LSTM whose gates see the cell state (Gers and Schmidhuber 2000; Graves 2013, arXiv:1308.0850, eq. 7-11).

    .. math::
        i, f = \sigma(x W_{if} + h U_{if} + p_{if} \odot c + b_{if}), \quad
        c' = f \odot c + i \odot \tanh(x W_g + h U_g + b_g) \\
        o = \sigma(x W_o + h U_o + p_o \odot c' + b_o), \quad h' = o \odot \tanh(c')

    As :class:`LSTMCell`, with ``peepholes [3H]`` in the order i, f, o, zero at first.
    """

    peephole_init: Initializer = nn.initializers.zeros

    def step(self, carry: Carry, projected: Array, noise: Noise = SILENT) -> tuple[Carry, Array]:
        cell, hidden = carry
        peepholes = self._parameter("peepholes", self.peephole_init, 3 * self.features).astype(cell.dtype)
        p_i, p_f, p_o = jnp.split(at_rank_of(peepholes, cell), 3, axis=-1)
        i, f, g, o = jnp.split(projected + self._recurrent(hidden, 4, noise), 4, axis=-1)
        cell = nn.sigmoid(f + p_f * cell) * cell + nn.sigmoid(i + p_i * cell) * jnp.tanh(g)
        hidden = nn.sigmoid(o + p_o * cell) * jnp.tanh(cell)
        return (cell, hidden), hidden


class ProjectedLSTMCell(LSTMCell):
    r"""LSTM with a recurrent projection (Sak et al. 2014, arXiv:1402.1128), PyTorch's ``proj_size``.

    As :class:`LSTMCell`, but :math:`h' = (o \odot \tanh(c')) P` with ``projection_kernel [H, P]``;
    ``recurrent_kernel [P, 4H]``. Carry: ``(c [..., H], h [..., P])``; outputs have P features.

    Attributes:
      projection: number of projected features, P, which must be positive; None takes half of H, but at least one.
      projection_init: initialiser of ``projection_kernel``.
    """

    projection: int | None = None
    projection_init: Initializer = glorot

    def __post_init__(self):
        if self.projection is not None and self.projection <= 0:
            raise UsageError(f"ProjectedLSTMCell: projection must be positive, got {self.projection}")
        super().__post_init__()

    @property
    def recurrent_shape(self) -> tuple[int, int]:
        return self.output_features, 4 * self.features

    @property
    def output_features(self) -> int:
        return self.projection or max(1, self.features // 2)

    @nn.nowrap
    def initialize_carry(self, rng, input_shape, dtype=None):
        cell, _ = super().initialize_carry(rng, input_shape, dtype)
        return cell, jnp.zeros((*input_shape[:-1], self.output_features), cell.dtype)

    def step(self, carry: Carry, projected: Array, noise: Noise = SILENT) -> tuple[Carry, Array]:
        (cell, _), unprojected = super().step(carry, projected, noise)
        kernel = self._parameter("projection_kernel", self.projection_init, self.features, self.output_features)
        unprojected, kernel = promote_dtype(unprojected, kernel, dtype=self.dtype)
        hidden = unprojected @ kernel
        return (cell, hidden), hidden


class CoupledLSTMCell(LSTMCell):
    r"""LSTM with coupled input and forget gates, :math:`i = 1 - f` (CIFG; Greff et al. 2017, arXiv:1503.04069).

    .. math:: c' = f \odot c + (1 - f) \odot g, \quad h' = o \odot \tanh(c')

    Gate order f, g, o: ``input_kernel [D, 3H]``, ``recurrent_kernel [H, 3H]``, ``bias [3H]``.
    """

    gates: ClassVar[int] = 3

    @nn.nowrap
    def _input_bias_init(self) -> Initializer:
        return self._gate_bias(3, forget=0, enter=None)

    def step(self, carry: Carry, projected: Array, noise: Noise = SILENT) -> tuple[Carry, Array]:
        cell, hidden = carry
        f, g, o = jnp.split(projected + self._recurrent(hidden, 3, noise), 3, axis=-1)
        forget = nn.sigmoid(f)
        cell = forget * cell + (1 - forget) * jnp.tanh(g)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        return (cell, hidden), hidden

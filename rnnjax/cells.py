"""Recurrent cells: one step of each recurrence, in two phases.

A recurrence over T steps spends most of its arithmetic on products with the inputs, and those do
not depend on the carry. A cell therefore splits its step in two:

* ``project(inputs)`` does everything that depends on the inputs alone, for all steps at once;
* ``step(carry, projected)`` does what is left, one step at a time, inside the scan.

``cell(carry, x)`` is ``step(carry, project(x))``, for streaming and for reading the mathematics.

Axes: B batch, T time, D input features, H hidden features.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax import fused
from rnnjax.errors import UsageError

Array = jax.Array
Carry = Any
Initializer = Callable[..., Any]


class RecurrentCell(nn.Module):
    """What every cell has: its width, its dtypes, its initialisers and an all-zero first carry.

    Attributes:
      features: number of hidden features, H.
      input_init: initialiser of ``input_kernel``, split per gate.
      recurrent_init: initialiser of each gate's block of ``recurrent_kernel``.
      bias_init: initialiser of ``bias``.
      dtype: dtype of the computation; None takes the inputs' and the parameters' common dtype.
      param_dtype: dtype of the parameters.
    """

    features: int
    input_init: Initializer = nn.initializers.glorot_uniform()
    recurrent_init: Initializer = nn.initializers.orthogonal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def __post_init__(self):
        if self.features <= 0:
            raise UsageError(f"{type(self).__name__}: features must be positive, got {self.features}")
        super().__post_init__()

    @nn.compact
    def _parameter(self, name: str, init: Initializer, *shape: int) -> Array:
        # Linen allows one compact method a module. This is it, so that `project` and `step` can
        # both declare what they use although only `project` knows the width of the inputs.
        return self.param(name, init, shape, self.param_dtype)

    def _kernel(self, name: str, init: Initializer, rows: int, gates: int) -> Array:
        """A fused ``[rows, gates * H]`` kernel whose every gate is initialised by itself."""
        return self._parameter(name, _per_gate(init, gates), rows, gates * self.features)

    def _affine(self, inputs: Array, gates: int, bias_init: Initializer | None = None) -> Array:
        """``inputs @ input_kernel + bias`` for all gates: ``[..., D] -> [..., gates * H]``."""
        kernel = self._kernel("input_kernel", self.input_init, inputs.shape[-1], gates)
        bias = self._parameter("bias", bias_init or self.bias_init, gates * self.features)
        inputs, kernel, bias = nn.dtypes.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return inputs @ kernel + bias

    def _recurrent(self, hidden: Array, gates: int) -> Array:
        """``hidden @ recurrent_kernel``: ``[..., H] -> [..., gates * H]``."""
        kernel = self._kernel("recurrent_kernel", self.recurrent_init, self.features, gates)
        return hidden @ kernel.astype(hidden.dtype)

    def project(self, inputs: Array) -> Array:
        """The part of the step that depends on the inputs alone, ``[..., D] -> [..., Z]``."""
        raise NotImplementedError

    def step(self, carry: Carry, projected: Array) -> tuple[Carry, Array]:
        """One step: carry and ``projected [..., Z]`` give the next carry and the output ``[..., H]``."""
        raise NotImplementedError

    def fused_sequence(
        self, projected: Array, carry: Carry, mask: Array | None, *, reverse: bool, unroll: int
    ) -> tuple[Carry, Array] | None:
        """All steps at once with a hand-written backward pass, or None where the cell has none.

        Args:
          projected: ``[T, B, Z]``; carry: leaves ``[B, H]``; mask: ``[T, B]`` booleans or None.
          reverse, unroll: as in :class:`rnnjax.recurrence.RNN`.

        Returns:
          ``(carry, outputs [T, B, H])``, equal to a masked scan of :meth:`step`.
        """
        del projected, carry, mask, reverse, unroll
        return None

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> Carry:
        """The first carry (zeros) for inputs of shape ``(..., D)``; ``rng`` is unused by zeros."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), dtype or self.dtype or self.param_dtype)

    def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
        """One step from ``inputs [..., D]``: ``(carry, output [..., H])``."""
        return self.step(carry, self.project(inputs))


class SimpleRNNCell(RecurrentCell):
    r"""Elman's recurrence, :math:`h' = \phi(x W + h U + b)` (Elman 1990, "Finding structure in time").

    With ``activation=nn.relu`` and ``recurrent_init=identity`` it is the IRNN of Le, Jaitly and
    Hinton (2015, arXiv:1504.00941). Parameters: ``input_kernel [D, H]``, ``recurrent_kernel [H, H]``,
    ``bias [H]``. Carry: ``h [..., H]``.
    """

    activation: Callable[[Array], Array] = jnp.tanh

    def project(self, inputs: Array) -> Array:
        return self._affine(inputs, 1)

    def step(self, carry: Array, projected: Array) -> tuple[Array, Array]:
        hidden = self.activation(projected + self._recurrent(carry, 1))
        return hidden, hidden


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
    """

    forget_bias: float = 1.0

    def initialize_carry(self, rng, input_shape, dtype=None):
        zeros = super().initialize_carry(rng, input_shape, dtype)
        return zeros, zeros

    def project(self, inputs: Array) -> Array:
        def bias_init(key, shape, dtype):
            forget = jnp.repeat(jnp.arange(4) == 1, self.features)
            return self.bias_init(key, shape, dtype) + jnp.where(forget, self.forget_bias, 0).astype(dtype)

        return self._affine(inputs, 4, bias_init)

    def step(self, carry: tuple[Array, Array], projected: Array) -> tuple[tuple[Array, Array], Array]:
        cell, hidden = carry
        i, f, g, o = jnp.split(projected + self._recurrent(hidden, 4), 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        return (cell, hidden), hidden

    def fused_sequence(self, projected, carry, mask, *, reverse, unroll):
        kernel = self._kernel("recurrent_kernel", self.recurrent_init, self.features, 4)
        return fused.lstm_sequence(projected, kernel, carry, mask, reverse=reverse, unroll=unroll)


class GRUCell(RecurrentCell):
    r"""Gated recurrent unit with the reset gate after the product (Cho et al. 2014, arXiv:1406.1078).

    .. math::
        r, z = \sigma(x W_{rz} + h U_{rz} + b_{rz}), \quad
        n = \tanh(x W_n + b_n + r \odot (h U_n + b_{hn})), \quad h' = (1 - z) \odot n + z \odot h

    This is the variant of PyTorch, cuDNN and Keras' ``reset_after=True``. Gate order r, z, n:
    ``input_kernel [D, 3H]``, ``recurrent_kernel [H, 3H]``, ``bias [3H]`` and ``recurrent_bias [H]``
    (of the candidate; it does not fold into ``bias``). Carry: ``h [..., H]``.
    """

    def project(self, inputs: Array) -> Array:
        return self._affine(inputs, 3)

    def step(self, carry: Array, projected: Array) -> tuple[Array, Array]:
        recurrent_bias = self._parameter("recurrent_bias", self.bias_init, self.features)
        x_r, x_z, x_n = jnp.split(projected, 3, axis=-1)
        h_r, h_z, h_n = jnp.split(self._recurrent(carry, 3), 3, axis=-1)
        r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + recurrent_bias.astype(h_n.dtype)))
        hidden = n + z * (carry - n)
        return hidden, hidden


def identity(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """Identity initialiser for a square recurrent kernel (IRNN, arXiv:1504.00941)."""
    del key
    return jnp.eye(shape[0], shape[1], dtype=dtype)


def _per_gate(init: Initializer, gates: int) -> Initializer:
    """Initialises each gate's block of a fused kernel by itself, so that its fan and rank are right."""

    def fused(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        blocks = [init(k, (shape[0], shape[1] // gates), dtype) for k in jax.random.split(key, gates)]
        return jnp.concatenate(blocks, axis=-1)

    return fused

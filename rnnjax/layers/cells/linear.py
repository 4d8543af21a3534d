"""Cells whose recurrence is linear in the carry, so that it also runs as an associative scan, or in chunks.

The state obeys ``x' = a * x + b`` with ``a`` and ``b`` from the inputs alone. A linear cell says what
these are (``coefficients``) and what it reads from the state (``readout``); ``step`` follows.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.cells.base import SILENT, Array, Carry, Noise, RecurrentCell
from rnnjax.layers.ranks import at_rank_of


class LinearCell(RecurrentCell):
    """A cell with the linear recurrence ``x' = a * x + b`` and no ``recurrent_kernel``."""

    @property
    def recurrent_shape(self) -> None:
        return None

    @nn.nowrap
    def linear_obstacle(self) -> str | None:
        if type(self).step is not LinearCell.step:
            return "its step is its own"
        return "it has variables that go on from step to step" if self.carried else None

    def step(self, carry: Carry, projected: Any, noise: Noise = SILENT) -> tuple[Carry, Array]:
        del noise  # RNN refuses recurrent and weight dropout for a cell without recurrent kernel.
        a, b = self.coefficients(projected)
        state = a * carry + b
        return state, self.readout(state, projected)


class MinGRUCell(LinearCell):
    r"""minGRU (Feng et al. 2024, "Were RNNs all we needed?", arXiv:2410.01201, section 3.1).

    .. math:: z = \sigma(x W_z + b_z), \quad n = x W_n + b_n, \quad h' = (1 - z) \odot h + z \odot n

    (Here, as in that paper and unlike :class:`GRUCell`, z is the share of the new.) Gate order z, n:
    ``input_kernel [D, 2H]``, ``bias [2H]``. Carry: ``h [..., H]``.
    """

    gates: ClassVar[int] = 2

    def coefficients(self, projected: Array) -> tuple[Array, Array]:
        z, n = jnp.split(projected, 2, axis=-1)
        z = nn.sigmoid(z)
        return 1 - z, z * n


class LRUCell(LinearCell):
    r"""Linear recurrent unit (Orvieto et al. 2023, arXiv:2303.06349, section 3 and appendix A).

    .. math::
        x' = \lambda \odot x + \gamma \odot (u B), \quad y = \mathrm{Re}(x' C) + u D, \quad
        \lambda = \exp(-e^{\nu} + i e^{\theta}), \quad \gamma = e^{\gamma_{log}}

    Parameters are real: ``nu_log``, ``theta_log``, ``gamma_log`` ``[N]``; ``input_kernel [D, 2N]`` and
    ``output_kernel [2N, H]`` hold the real and the imaginary parts of B and C one after the other;
    ``skip_kernel [D, H]``. Carry: ``x [..., N]``, complex64; float32 is the only precision, to which
    narrower inputs are cast.

    Attributes:
      states: number of complex states, N; None takes H.
      min_radius, max_radius: :math:`|\lambda|` at first is uniform on the ring between them.
      max_phase: the phase of :math:`\lambda` at first is uniform between 0 and this, in radians.
    """

    carry_parts: ClassVar[tuple[str, ...]] = ("x",)

    states: int | None = None
    min_radius: float = 0.0
    max_radius: float = 1.0
    max_phase: float = 2 * math.pi

    def __post_init__(self):
        super().__post_init__()
        wrong = [d for d in (self.dtype, self.param_dtype) if d is not None and jnp.dtype(d) != jnp.float32]
        if wrong or self.carry_dtype not in (None, jnp.complex64):
            raise UsageError("LRUCell computes in float32 with a complex64 carry; it has no other precision")
        if self.states is not None and self.states <= 0:
            raise UsageError(f"LRUCell: states must be positive, got {self.states}")
        if not 0 <= self.min_radius < self.max_radius <= 1:
            raise UsageError(
                f"LRUCell: need 0 <= min_radius < max_radius <= 1, got {self.min_radius}, {self.max_radius}"
            )
        if not 0 < self.max_phase < math.inf:  # its logarithm is a parameter
            raise UsageError(f"LRUCell: max_phase must be a positive number of radians, got {self.max_phase}")

    @property
    def _states(self) -> int:
        return self.states or self.features

    @nn.nowrap
    def initialize_carry(self, rng, input_shape, dtype=None):
        del rng, dtype
        return jnp.zeros((*input_shape[:-1], self._states), jnp.complex64)

    def project(self, inputs: Array) -> tuple[Array, Array]:
        if inputs.dtype == jnp.float64 or jnp.issubdtype(inputs.dtype, jnp.complexfloating):
            raise UsageError(f"LRUCell computes in float32, but its inputs are {inputs.dtype}")
        inputs, rows = inputs.astype(jnp.float32), inputs.shape[-1]
        self._check_width("input_kernel", rows)
        kernel = self._parameter(
            "input_kernel", nn.initializers.normal(1 / math.sqrt(2 * rows)), rows, 2 * self._states
        )
        skip = self._parameter("skip_kernel", self.input_init, rows, self.features)
        real, imaginary = jnp.split(inputs @ kernel, 2, axis=-1)
        return jax.lax.complex(real, imaginary), inputs @ skip

    def coefficients(self, projected: tuple[Array, Array]) -> tuple[Array, Array]:
        nu = self._parameter("nu_log", self._nu_log, self._states)
        theta = self._parameter("theta_log", self._theta_log, self._states)
        # gamma depends on nu only at first (it normalises the state), and is free afterwards.
        gamma = self._parameter("gamma_log", lambda *_: 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(nu))), self._states)
        decay = jnp.exp(jax.lax.complex(-jnp.exp(nu), jnp.exp(theta)))
        sums = projected[0]
        return at_rank_of(decay, sums), at_rank_of(jnp.exp(gamma).astype(decay.dtype), sums) * sums

    def readout(self, carry: Array, projected: tuple[Array, Array]) -> Array:
        init = nn.initializers.normal(1 / math.sqrt(self._states))
        kernel = self._parameter("output_kernel", init, 2 * self._states, self.features)
        real, imaginary = jnp.split(kernel, 2)
        return carry.real @ real - carry.imag @ imaginary + projected[1]

    def _nu_log(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        low, high = self.min_radius**2, self.max_radius**2
        # A radius of exactly 1 would give -inf: |lambda|^2 stays below by one part in 1e6.
        square = jax.random.uniform(key, shape, dtype, low, low + (high - low) * (1 - 1e-6))
        return jnp.log(-0.5 * jnp.log(jnp.maximum(square, 1e-12)))

    def _theta_log(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        return jnp.log(jax.random.uniform(key, shape, dtype, 1e-6, 1) * self.max_phase)

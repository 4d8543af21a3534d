"""What every recurrent cell has in common: a step in two phases, dtypes and fused parameters.

A recurrence over T steps spends most of its arithmetic on products with the inputs, and those do
not depend on the carry. A cell therefore splits its step in two:

* ``project(inputs)`` does everything that depends on the inputs alone, for all steps at once;
* ``step(carry, projected)`` does what is left, one step at a time, inside the scan.

``cell(carry, x)`` is ``step(carry, project(x))``, for streaming and for reading the mathematics.

Submodules and variables. Both phases may call modules, made in ``setup`` or, in one of the two, under ``@nn.compact``;
they are under the cell's name in all collections, as in ``cell/Dense_0/kernel``. What ``project`` does to variables it
does once a sequence (once a chunk, with ``remat``). In ``step``:

* parameters are the same at all steps, and so are other variables, which a step may read but not change;
* a variable of a collection in :attr:`RecurrentCell.carried` goes on from step to step in the direction of the scan,
  and from call to call like any variable of Linen. It is one for all rows of the batch and knows no resets: what
  belongs to a row belongs in the carry. Where no row is real, a step leaves it as it is. A step that takes statistics
  over rows leaves padding out with :attr:`Noise.counted`. ``init`` leaves what one step makes of it, unless that step
  changes it only where ``not self.is_initializing()``;
* what a step sows (``self.sow("intermediates", ...)``, and collections in :attr:`RecurrentCell.stacked`) is stacked,
  ``[T, B, ...]``, in the inputs' order in a reverse scan as well, and so are its perturbations (``self.perturb``). At
  padded steps there is something in it, but nothing that means anything.

Axes: B batch, T time, D input features, H hidden features.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import canonicalize_dtype, promote_dtype

from rnnjax.errors import UsageError
from rnnjax.layers.cells.checks import called_with, check_attributes
from rnnjax.layers.cells.initializers import at_least_float32, glorot, orthogonal, per_gate
from rnnjax.layers.cells.noise import SILENT, Noise
from rnnjax.layers.fused import Extras
from rnnjax.layers.portable import Portable
from rnnjax.layers.ranks import at_rank_of
from rnnjax.layers.words import OURS_OF_CELLS, Answering

Array = jax.Array
Carry = Any
Initializer = Callable[..., Any]


_MAKES_A_STEP = ("project", "step", "readout", "setup", "gates", "_affine", "_input_operands", "_kernel")
_MAKES_A_STEP += ("_recurrent", "_recurrent_kernel", "_masked_kernel", "_parameter")


class RecurrentCell(Portable, Answering, nn.RNNCellBase):
    """What every cell has: its width, its dtypes, its initialisers and an all-zero first carry.

    It is a cell of Flax too: ``flax.linen.RNN`` runs it, with the same parameters and the same numbers.

    Attributes:
      features: number of hidden features, H.
      input_init: initialiser of ``input_kernel``, split per gate.
      recurrent_init: initialiser of each gate's block of ``recurrent_kernel``.
      bias_init: initialiser of ``bias``.
      dtype: dtype of the products; None takes the inputs' and the parameters' common dtype.
      param_dtype: dtype of the parameters.
      carry_dtype: dtype of the carry between steps; None takes that of the products. Elementwise
        arithmetic on the carry is done in the wider of the two, so that bfloat16 products with a
        float32 carry accumulate in float32.
    """

    features: int
    input_init: Initializer = glorot
    recurrent_init: Initializer = orthogonal
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    carry_dtype: Any = None

    gates: ClassVar[int] = 1
    """Blocks of the fused kernels."""
    carry_parts: ClassVar[tuple[str, ...]] = ("h",)
    """The names of the arrays of the carry, in their order."""
    carried: ClassVar[tuple[str, ...]] = ()
    """Collections whose variables a step changes, such as ``("batch_stats",)``."""
    stacked: ClassVar[tuple[str, ...]] = ("intermediates",)
    """Collections into which a step sows."""

    _ours = MappingProxyType(OURS_OF_CELLS)

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        phases = ("project", "coefficients", "step", "readout")
        compact = [name for name in phases if hasattr(getattr(cls, name), "compact")]
        if len(compact) > 1:
            raise UsageError(
                f"{cls.__name__}: {' and '.join(compact)} are both @nn.compact, so that the first nn.Dense of either "
                "would be Dense_0, with one kernel; make the submodules in setup"
            )

    def __post_init__(self):
        check_attributes(self)
        super().__post_init__()

    @property
    def recurrent_shape(self) -> tuple[int, int] | None:
        """Shape of ``recurrent_kernel``, or None for a cell that has none."""
        return self.features, self.gates * self.features

    @property
    def _kind(self) -> str:
        """What errors call the cell."""
        return type(self).__name__

    @property
    def num_feature_axes(self) -> int:
        """For ``flax.linen.RNN``: how many of the inputs' last axes are features."""
        return 1

    @property
    def output_features(self) -> int:
        """Features of the outputs; a cell that puts out another number than :attr:`features` says so here."""
        return self.features

    @nn.compact
    def _parameter(self, name: str, init: Initializer, *shape: int) -> Array:
        # Linen allows one compact method a module. This is it, so that `project` and `step` can
        # both declare what they use although only `project` knows the width of the inputs.
        return self.param(name, at_least_float32(init), shape, self.param_dtype)

    def _kernel(self, name: str, init: Initializer, rows: int, gates: int) -> Array:
        """A fused ``[rows, gates * H]`` kernel whose every gate is initialised by itself."""
        self._check_width(name, rows)
        return self._parameter(name, per_gate(init, gates), rows, gates * self.features)

    def _check_width(self, name: str, rows: int) -> None:
        """Says D, which Linen's own error does not, where inputs do not fit the parameters.

        Raises:
          UsageError: if inputs have no features, or another number than those that ``input_kernel`` was made for.
        """
        if name != "input_kernel":
            return
        if not rows:
            raise UsageError(f"{self._kind}: the inputs have no features, D = 0; they must have shape [..., T, D]")
        made = nn.meta.unbox(self.get_variable("params", name)) if self.has_variable("params", name) else None
        if made is not None and jnp.shape(made)[:1] != (rows,):
            raise UsageError(
                f"{self._kind}: the inputs have D = {rows} features, but the parameters were made for D = "
                f"{jnp.shape(made)[0]}; inputs must have shape [..., T, D]"
            )

    def _input_operands(self, inputs: Array, gates: int) -> tuple[Array, Array, Array]:
        """``inputs``, ``input_kernel [D, gates * H]`` and ``bias [gates * H]`` in one dtype."""
        kernel = self._kernel("input_kernel", self.input_init, inputs.shape[-1], gates)
        bias = self._parameter("bias", self._input_bias_init(), gates * self.features)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return inputs, kernel, bias

    @nn.nowrap
    def _input_bias_init(self) -> Initializer:
        """Initialiser of the fused ``bias``."""
        return self.bias_init

    def _affine(self, inputs: Array, gates: int) -> Array:
        """``inputs @ input_kernel + bias`` for all gates: ``[..., D] -> [..., gates * H]``."""
        inputs, kernel, bias = self._input_operands(inputs, gates)
        return inputs @ kernel + at_rank_of(bias, inputs)

    def _recurrent_kernel(self, hidden: Array, gates: int, noise: Noise) -> tuple[Array, Array]:
        """``hidden`` and ``recurrent_kernel`` ready for their product: in its dtype and with ``noise``."""
        kernel = self._kernel("recurrent_kernel", self.recurrent_init, hidden.shape[-1], gates)
        hidden, kernel = promote_dtype(hidden, kernel, dtype=self.dtype)
        if noise.hidden is not None:
            hidden = hidden * noise.hidden.astype(hidden.dtype)
        if noise.kernel is not None:
            kernel = kernel * noise.kernel.astype(kernel.dtype)
        return hidden, kernel

    def _recurrent(self, hidden: Array, gates: int, noise: Noise = SILENT) -> Array:
        """``hidden @ recurrent_kernel``: ``[..., H] -> [..., gates * H]``."""
        hidden, kernel = self._recurrent_kernel(hidden, gates, noise)
        return hidden @ kernel

    def project(self, inputs: Array) -> Any:
        """The part of the step that depends on the inputs alone, ``[..., D] -> [..., Z]``."""
        return self._affine(inputs, self.gates)

    def step(self, carry: Carry, projected: Any, noise: Noise = SILENT) -> tuple[Carry, Array]:
        """One step: carry and ``projected [..., Z]`` give the next carry and the output ``[..., H]``."""
        raise NotImplementedError(f"{type(self).__name__} does not define its step")

    def readout(self, carry: Carry, projected: Any) -> Array:
        """The output ``[..., H]`` that belongs to a carry; for most cells it is a part of the carry."""
        del projected
        return carry

    @nn.nowrap
    def linear_obstacle(self) -> str | None:
        """Why the recurrence is not ``x' = a * x + b`` with :meth:`coefficients`, or None where it is."""
        return "its recurrence is not linear"

    def coefficients(self, projected: Any) -> tuple[Array, Array]:
        """``(a, b)`` of the recurrence, ``a`` broadcastable to ``b``; any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} does not define its coefficients")

    @nn.nowrap
    def fused_obstacle(self) -> str | None:
        """Why the cell has no :meth:`fused_sequence`, or None where it has one."""
        return (
            "only SimpleRNNCell, LSTMCell and GRUCell themselves have a fused recurrence, and subclasses that leave "
            "their step and what it is made of alone"
        )

    def _computes_as(self, cell: type["RecurrentCell"]) -> bool:
        """Whether the class computes what ``cell`` computes: it has overridden nothing that a step is made of."""
        return not self.carried and all(getattr(type(self), name) is getattr(cell, name) for name in _MAKES_A_STEP)

    def fused_sequence(
        self, inputs: Array, carry: Carry, mask: Array | None, extras: Extras, noise: Noise, **options: Any
    ) -> tuple[Carry, Array]:
        """All steps at once with a hand-written backward pass, for cells without :meth:`fused_obstacle`.

        Args:
          inputs: ``[T, B, D]``.
          carry: leaves ``[B, H]`` in the dtype of the products.
          mask: ``[T, B]`` booleans or None.
          extras: resets, dropout of the hidden state, and zoneout.
          noise: of which the kernel's mask is used here.
          options: ``reverse`` and ``unroll`` as in :class:`rnnjax.layers.rnn.RNN`.

        Returns:
          ``(carry, outputs [T, B, H])``, equal to a masked scan of :meth:`step` over :meth:`project`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its fused recurrence")

    @nn.nowrap
    def cudnn_obstacle(self) -> str | None:
        """Why the cell has no :meth:`cudnn_sequence`, or None where it has one."""
        return "of the cells, cuDNN has LSTMCell itself alone"

    def cudnn_sequence(
        self, inputs: Array, carry: Carry, lengths: Array | None, noise: Noise, *, reverse: bool
    ) -> tuple[Carry, Array]:
        """All steps by cuDNN, for cells without :meth:`cudnn_obstacle`; see :mod:`rnnjax.layers.cudnn`.

        Args:
          inputs: ``[B, T, D]``.
          carry: leaves ``[B, H]``.
          lengths: ``[B]`` integers or None.
          noise: of which the kernel's mask is used here.
          reverse: as in :class:`rnnjax.layers.rnn.RNN`.

        Returns:
          ``(carry, outputs [B, T, H])``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not run by cuDNN")

    @nn.nowrap
    def pallas_obstacle(self) -> str | None:
        """Why the cell has no :meth:`pallas_sequence`, or None where it has one."""
        return "of the cells, LSTMCell and GRUCell themselves alone have kernels for a TPU"

    def pallas_sequence(
        self, inputs: Array, carry: Carry, mask: Array | None, extras: Extras, noise: Noise, **options: Any
    ) -> tuple[Carry, Array]:
        """As :meth:`fused_sequence`, by :mod:`rnnjax.layers.pallas`, for cells without :meth:`pallas_obstacle`."""
        raise NotImplementedError(f"{type(self).__name__} does not run by Pallas")

    def _masked_kernel(self, hidden: Array, noise: Noise) -> Array:
        """``recurrent_kernel`` in the dtype of its product with ``hidden``, under its own mask."""
        return self._recurrent_kernel(hidden, self.gates, Noise(kernel=noise.kernel))[1]

    @nn.nowrap
    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> Carry:
        """The first carry (zeros) for inputs of shape ``(..., D)``; ``rng`` is unused by zeros."""
        del rng
        return jnp.zeros((*input_shape[:-1], self.features), self._carry_dtype(dtype))

    @nn.nowrap
    def _carry_dtype(self, dtype: Any) -> Any:
        return self.carry_dtype or dtype or self.dtype or self.param_dtype

    @nn.nowrap
    def compute_dtype(self, inputs: Array) -> Any:
        """Dtype of the products with ``inputs``, and of the outputs; None if they stay as the step makes them."""
        return canonicalize_dtype(inputs, jnp.zeros((), self.param_dtype), dtype=self.dtype)

    def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
        """One step from ``inputs [..., D]``: ``(carry, output [..., H])``, the carry in the dtype it came in.

        Raises:
          UsageError: if the carry is not built as the cell's, or the two are given in the other order.
        """
        carry = called_with(self, carry, inputs)
        new_carry, output = self.step(carry, self.project(inputs))
        return keep_dtypes(new_carry, carry), output.astype(self.compute_dtype(inputs))


def keep_dtypes(new_carry: Carry, carry: Carry) -> Carry:
    """``new_carry`` in the dtypes of ``carry``: a scan's carry must not change its type."""
    return jax.tree.map(lambda new, old: new.astype(old.dtype), new_carry, carry)

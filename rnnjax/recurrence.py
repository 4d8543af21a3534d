"""Recurrence over a sequence: one direction, two directions, and stacks of layers.

All three are called alike and return alike, so that each can stand where another stands:

    carry, outputs = layer(inputs, lengths=lengths, train=train)

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import Carry, RecurrentCell
from rnnjax.errors import UsageError

Array = jax.Array


class RNN(nn.Module):
    """Scans a cell over time.

    Attributes:
      cell: the recurrent cell.
      reverse: scan from each row's last real step to its first; outputs stay in the inputs' order.
      unroll: steps in one iteration of the compiled loop.
      implementation: ``"scan"`` is ``nn.scan`` under ordinary differentiation, for any cell;
        ``"fused"`` is the cell's hand-written backward pass (:mod:`rnnjax.fused`), with reverse-mode
        derivatives only; ``"auto"`` is fused where the cell has it, else scan. Same parameters, same numbers.
    """

    cell: RecurrentCell
    reverse: bool = False
    unroll: int = 1
    implementation: str = "auto"

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        *,
        lengths: Array | None = None,
        mask: Array | None = None,
        initial_carry: Carry | None = None,
        train: bool = False,
    ) -> tuple[Carry, Array]:
        """Runs the recurrence.

        Args:
          inputs: ``[..., T, D]``.
          lengths: ``[...]`` integers in 0..T: how many leading steps of each row are real.
          mask: ``[..., T]`` booleans, True at real steps; use it or ``lengths``. A masked step
            leaves the carry as it is.
          initial_carry: the cell's carry before the first step; zeros by default.
          train: whether dropout is active (the plain cells have none).

        Returns:
          ``(carry, outputs)``: each row's carry after its own last real step (the initial carry
          where there is none), and outputs ``[..., T, H]``, zero at masked steps. What stands in
          masked steps, NaN included, changes neither results nor gradients.

        Raises:
          UsageError: if ``inputs`` lack a time axis, or ``lengths`` or ``mask`` have a wrong shape
            or dtype, or concrete lengths lie outside 0..T.
        """
        del train
        mask = sequence_mask(inputs, lengths, mask)
        carry = initial_carry
        if carry is None:
            carry = self.cell.initialize_carry(None, inputs.shape[:-2] + inputs.shape[-1:])
        if mask is not None:
            # NaN * 0 is NaN: padding must be gone before it meets a kernel, or gradients see it.
            inputs = jnp.where(mask[..., None], inputs, jnp.zeros((), inputs.dtype))
        projected = self.cell.project(jnp.moveaxis(inputs, -2, 0))
        # The scan's carry keeps its dtype, whatever the promotion of the parameters gives.
        carry = jax.tree.map(lambda leaf: leaf.astype(projected.dtype), carry)
        carry, outputs = self._recur(carry, projected, None if mask is None else jnp.moveaxis(mask, -1, 0))
        return carry, jnp.moveaxis(outputs, 0, -2)

    def _recur(self, carry: Carry, projected: Array, mask: Array | None) -> tuple[Carry, Array]:
        """The recurrence over time-major ``projected [T, ..., Z]`` and ``mask [T, ...]``."""
        if self.implementation not in ("auto", "scan", "fused"):
            raise UsageError(f"implementation must be one of auto, scan, fused, got {self.implementation!r}")
        if self.implementation != "scan":
            result = self._fused(carry, projected, mask)
            if result is not None:
                return result
            if self.implementation == "fused":
                raise UsageError(f"{type(self.cell).__name__} has no fused implementation; use scan or auto")
        scan = nn.scan(
            _masked_step,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            reverse=self.reverse,
            unroll=self.unroll,
        )
        return scan(self.cell, carry, (projected, None if mask is None else mask[..., None]))

    def _fused(self, carry: Carry, projected: Array, mask: Array | None) -> tuple[Carry, Array] | None:
        batch = projected.shape[1:-1]
        result = self.cell.fused_sequence(
            projected.reshape(projected.shape[0], -1, projected.shape[-1]),
            jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), carry),
            None if mask is None else mask.reshape(mask.shape[0], -1),
            reverse=self.reverse,
            unroll=self.unroll,
        )
        if result is None:
            return None
        carry, outputs = result
        carry = jax.tree.map(lambda leaf: leaf.reshape(*batch, leaf.shape[-1]), carry)
        return carry, outputs.reshape(outputs.shape[0], *batch, outputs.shape[-1])


def _masked_step(cell: RecurrentCell, carry: Carry, step: tuple[Array, Array | None]) -> tuple[Carry, Array]:
    projected, real = step
    new_carry, output = cell.step(carry, projected)
    if real is None:
        return new_carry, output
    new_carry = jax.tree.map(lambda new, old: jnp.where(real, new, old), new_carry, carry)
    return new_carry, jnp.where(real, output, jnp.zeros((), output.dtype))


class Bidirectional(nn.Module):
    """A forward and a backward recurrence over the same inputs (Schuster and Paliwal 1997).

    The carry is the pair of both carries; the outputs are concatenated: ``[..., T, H_f + H_b]``.
    """

    forward: RNN
    backward: RNN

    def __post_init__(self):
        if isinstance(self.backward, RNN) and not self.backward.reverse:
            raise UsageError("Bidirectional: the backward RNN needs reverse=True")
        super().__post_init__()

    def __call__(self, inputs, *, lengths=None, mask=None, initial_carry=None, train=False):
        """As :meth:`RNN.__call__`; ``initial_carry`` is the pair of both directions' carries."""
        carries = (None, None) if initial_carry is None else initial_carry
        forward, ahead = self.forward(inputs, lengths=lengths, mask=mask, initial_carry=carries[0], train=train)
        backward, behind = self.backward(inputs, lengths=lengths, mask=mask, initial_carry=carries[1], train=train)
        return (forward, backward), jnp.concatenate([ahead, behind], axis=-1)


class StackedRNN(nn.Module):
    """Recurrent layers one above the other, with dropout between them (Zaremba et al. 2014, arXiv:1409.2329).

    Attributes:
      layers: :class:`RNN` or :class:`Bidirectional` modules, lowest first.
      dropout: rate of dropout on the inputs of every layer but the first; needs a ``dropout`` key.
    """

    layers: Sequence[nn.Module]
    dropout: float = 0.0

    @nn.compact
    def __call__(self, inputs, *, lengths=None, mask=None, initial_carry=None, train=False):
        """As :meth:`RNN.__call__`; carries are tuples with one entry a layer."""
        carries = [None] * len(self.layers) if initial_carry is None else list(initial_carry)
        if len(carries) != len(self.layers):
            raise UsageError(f"StackedRNN: {len(self.layers)} layers but {len(carries)} initial carries")
        outputs, last = inputs, []
        for depth, (layer, carry) in enumerate(zip(self.layers, carries, strict=True)):
            if depth and self.dropout:
                outputs = nn.Dropout(self.dropout)(outputs, deterministic=not train)
            carry, outputs = layer(outputs, lengths=lengths, mask=mask, initial_carry=carry, train=train)
            last.append(carry)
        return tuple(last), outputs


def sequence_mask(inputs: Array, lengths: Array | None, mask: Array | None) -> Array | None:
    """The boolean mask ``[..., T]`` that ``lengths`` or ``mask`` mean for ``inputs [..., T, D]``, or None.

    Raises:
      UsageError: as described in :meth:`RNN.__call__`.
    """
    if inputs.ndim < 2:
        raise UsageError(f"inputs must have shape [..., T, D], got {inputs.shape}")
    batch, steps = inputs.shape[:-2], inputs.shape[-2]
    if lengths is not None and mask is not None:
        raise UsageError("give lengths or mask, not both")
    if mask is not None:
        mask = jnp.asarray(mask)
        if mask.dtype != jnp.bool_ or mask.shape != (*batch, steps):
            raise UsageError(f"mask must be boolean with shape {(*batch, steps)}, got {mask.dtype} {mask.shape}")
        return mask
    if lengths is None:
        return None
    lengths = jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer) or lengths.shape != batch:
        raise UsageError(f"lengths must be integers with shape {batch}, got {lengths.dtype} {lengths.shape}")
    if not isinstance(lengths, jax.core.Tracer):
        outside = np.asarray((lengths < 0) | (lengths > steps))
        if outside.any():
            bad = np.asarray(lengths)[outside].ravel()[0]
            raise UsageError(f"lengths must lie in 0..{steps} (the inputs' T), got {bad}")
    return jnp.arange(steps) < lengths[..., None]


def pool(outputs: Array, mask: Array | None, kind: str) -> Array:
    """Pools outputs ``[..., T, H]`` over real steps to ``[..., H]``; a row without real steps gives zeros.

    Args:
      outputs: ``[..., T, H]``.
      mask: ``[..., T]`` booleans or None when every step is real.
      kind: ``"last"`` (the last real step), ``"mean"`` or ``"max"``.
    """
    if mask is None:
        mask = jnp.ones(outputs.shape[:-1], bool)
    real = mask[..., None]
    if kind == "mean":
        count = jnp.maximum(real.sum(-2), 1).astype(outputs.dtype)
        return jnp.where(real, outputs, 0).sum(-2) / count
    if kind == "max":
        highest = jnp.where(real, outputs, jnp.finfo(outputs.dtype).min).max(-2)
        return jnp.where(real.any(-2), highest, 0)
    if kind == "last":
        steps = jnp.arange(outputs.shape[-2])
        index = jnp.where(mask, steps, -1).max(-1)
        last = jnp.take_along_axis(outputs, jnp.maximum(index, 0)[..., None, None], axis=-2)[..., 0, :]
        return jnp.where((index >= 0)[..., None], last, 0)
    raise UsageError(f"pooling must be one of last, mean, max, got {kind!r}")

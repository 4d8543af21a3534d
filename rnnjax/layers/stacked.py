"""Recurrent layers one above the other, and what may stand between them.

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.beside import applied, checked, is_recurrent, is_stepwise, width
from rnnjax.layers.cells import Carry
from rnnjax.layers.masks import sequence_mask
from rnnjax.layers.parts import handed, one_step, own
from rnnjax.layers.portable import Portable
from rnnjax.layers.rates import checked_rate
from rnnjax.layers.rnn import RNN
from rnnjax.layers.training import switches
from rnnjax.layers.words import Answering, answered

Array = jax.Array


class StackedRNN(Portable, Answering, nn.Module):
    """Recurrent layers one above the other, with dropout between them (Zaremba et al. 2014, arXiv:1409.2329).

    The weights are the layers' own, as those of :class:`RNN`: ``[layer] * 2`` makes two sets.

    Attributes:
      layers: :class:`RNN` or :class:`Bidirectional` modules, lowest first. What stands between them may be no
        recurrence, as ``nn.Dense``, ``nn.LayerNorm``, ``nn.Dropout`` or a convolution over time; then its carry is
        None (:func:`rnnjax.layers.beside.applied` says what such a layer is handed).
      dropout: rate of dropout on the inputs of every layer but the first; needs a ``dropout`` key.
      residual: add each layer's inputs to its outputs (Wu et al. 2016, arXiv:1609.08144). The first
        layer, which usually changes the width, has none where it does.
      pre_norm: layer-normalise each layer's inputs (not what ``residual`` adds).
      train: as of :class:`RNN`; None leaves it to the layers.
    """

    layers: Sequence[nn.Module]
    dropout: float = 0.0
    residual: bool = False
    pre_norm: bool = False
    train: bool | None = None

    def __post_init__(self):
        switches(self, "residual", "pre_norm")
        checked_rate("StackedRNN", "dropout", self.dropout)
        if isinstance(self.layers, nn.Module) or not isinstance(self.layers, Iterable):
            raise UsageError(
                "StackedRNN: give the layers as a list, lowest first, as in StackedRNN([RNN(LSTMCell(64))])"
            )
        self.layers = tuple(own(self, checked(layer, depth)) for depth, layer in enumerate(self.layers))
        super().__post_init__()

    @nn.compact
    @answered
    def __call__(
        self,
        inputs,
        *,
        lengths=None,
        mask=None,
        resets=None,
        initial_carry=None,
        reset_carry=None,
        train=None,
        return_carries=False,
    ):
        """As :meth:`RNN.__call__`; carries, ``reset_carry`` among them, are tuples with one entry a layer."""
        marks = {"lengths": lengths, "mask": mask, "resets": resets}
        count = len(self.layers)
        given = handed(self, count, inputs, initial_carry, reset_carry, train, return_carries, **marks)
        outputs, train, last = given.inputs, given.marks["train"], []
        mask = sequence_mask(outputs, lengths, mask)
        if mask is not None:
            outputs = jnp.where(mask[..., None], outputs, jnp.zeros((), outputs.dtype))
        for depth, (layer, carry, reset) in enumerate(zip(self.layers, given.initial, given.reset, strict=True)):
            below = outputs
            if self.pre_norm:
                # The fast variance is the mean square less the squared mean: little is left of features that are nearly
                # alike.
                norm = nn.LayerNorm(dtype=outputs.dtype, use_fast_variance=False, name=f"norm_{depth}")
                outputs = norm(outputs)
            if depth and self.dropout:
                outputs = nn.Dropout(self.dropout)(outputs, deterministic=not train)
            if is_recurrent(layer):
                carry, outputs = layer(outputs, initial_carry=carry, reset_carry=reset, **given.options)
            else:
                carry, outputs = None, applied(layer, depth, outputs, mask, given.marks)
            if self.residual and (depth or below.shape == outputs.shape):
                if below.shape != outputs.shape:
                    raise UsageError(
                        f"StackedRNN: residual needs layers of one width, layer {depth} makes {outputs.shape[-1]} "
                        f"features of {below.shape[-1]}"
                    )
                outputs = outputs + below.astype(outputs.dtype)
            last.append(carry)
        return tuple(last), outputs

    @property
    def features(self) -> int:
        """Features of the outputs.

        Raises:
          UsageError: if no layer says how many it makes.
        """
        for layer in reversed(self.layers):
            if is_recurrent(layer) or hasattr(layer, "features"):
                return layer.features
        raise UsageError("StackedRNN: none of the layers says how many features it makes")

    @property
    def backward_features(self) -> int:
        """As :attr:`RNN.backward_features`, of the highest layer.

        Raises:
          UsageError: if what stands above a backward recurrence mixes its features with others.
        """
        for depth, layer in reversed(list(enumerate(self.layers))):
            if is_recurrent(layer):
                if layer.backward_features and not all(isinstance(top, nn.Dropout) for top in self.layers[depth + 1 :]):
                    raise UsageError(
                        "StackedRNN: above the highest recurrence there is a layer that mixes what both directions "
                        "have read last; pool mean or max, or pool below that layer"
                    )
                return layer.backward_features
        return 0

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> tuple[Carry, ...]:
        """As :meth:`RNN.initialize_carry`, one carry a layer."""
        *batch, features = input_shape
        carries = []
        for layer in self.layers:
            shape = (*batch, features)
            carries.append(layer.initialize_carry(rng, shape, dtype) if is_recurrent(layer) else None)
            features = width(layer, shape)
        return tuple(carries)

    @answered
    def step(self, carry, inputs: Array, *, mask=None, resets=None, reset_carry=None, train=None):
        """One step for streaming, as :meth:`RNN.step`.

        Raises:
          UsageError: if a layer begins with the last step, or makes a step of others than that step.
        """
        streams = (is_stepwise(layer) or (isinstance(layer, RNN) and not layer.reverse) for layer in self.layers)
        if not all(streams):
            raise UsageError(
                "StackedRNN.step: every layer must be a forward RNN or make a step of that step alone, as nn.Dense "
                "does; a backward one cannot stream"
            )
        return one_step(self, carry, inputs, mask, resets, reset_carry, train)

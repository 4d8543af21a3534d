"""A recurrence whose carry stays from call to call: what reads a stream that is longer than a batch's rows."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.beside import recurrence
from rnnjax.layers.bidirectional import Bidirectional
from rnnjax.layers.cells import Carry
from rnnjax.layers.words import OURS, Answering, answered

Array = jax.Array

CARRY = "carry"
"""The collection of carries: its leaves have a row a stream, ``[B, ...]``, where all other collections have none."""

_STATE = "the carry is kept: give apply the collection, {{'params': params, 'carry': {{'state': carry}}}}"
_KEPT = {
    **{word: _STATE for word, answer in OURS.items() if "initial_carry=" in answer and word != "stateful"},
    "initial_carry": _STATE,
    "return_carries": "the layer has it: layer(inputs, initial_carry=carry, return_carries=True)",
    "stateful": "it always is",
}


class Carried(Answering, nn.Module):
    """Keeps a recurrence's carry in the collection ``carry``, so that each call goes on where the one before ended.

    Gradients end at a call's first step (truncated backpropagation through time, Williams and Peng 1990). Its
    parameters lie where those of ``layer`` itself would, so that either takes the other's.

    The collection is new from ``init``, as long as a batch has rows, and what training and evaluation do with it is
    theirs: :mod:`rnnjax.training` starts it anew with each epoch. A call without the collection starts from the
    layer's own carry, and gives it back in the collection where that is mutable::

        logits, state = model.apply(params, first, mutable=["carry"])
        logits, state = model.apply(params | state, second, mutable=["carry"])

    Attributes:
      layer: a :class:`rnnjax.RNN` or :class:`rnnjax.StackedRNN` that reads forwards, or what is called like one.
    """

    layer: nn.Module

    _ours = MappingProxyType(OURS | _KEPT)

    def __post_init__(self):
        recurrence("Carried", self.layer)
        super().__post_init__()

    def setup(self):
        if _reads_backwards(self.layer):
            raise UsageError("Carried: a backward recurrence has no carry that the next call could go on with")
        nn.share_scope(self, self.layer)

    @nn.compact
    @answered
    def __call__(
        self,
        inputs: Array,
        *,
        lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
        reset_carry: Any = None,
        train: bool | None = None,
    ) -> tuple[Any, Array]:
        """As :meth:`rnnjax.RNN.__call__`, with the carry of the call before in the place of ``initial_carry``.

        Raises:
          UsageError: if the carry is that of another number of rows, or as the layer does.
        """
        options = {"lengths": lengths, "mask": mask, "resets": resets, "reset_carry": reset_carry, "train": train}
        kept = self.has_variable(CARRY, "state") or self.is_mutable_collection(CARRY)
        if not kept:
            return self.layer(inputs, **options)
        carry = self.variable(CARRY, "state", self.first, inputs)
        last, outputs = self.layer(inputs, initial_carry=carry.value, **options)
        if self.is_mutable_collection(CARRY) and not self.is_initializing():
            carry.value = last
        return last, outputs

    def first(self, inputs: Array) -> Any:
        """The carry that the layer starts from: that after a step which is not real, as each implementation has it."""
        return self.layer(inputs[..., :1, :], lengths=jnp.zeros(inputs.shape[:-2], jnp.int32))[0]

    @property
    def features(self) -> int:
        """Features of the outputs."""
        return self.layer.features  # pyright: ignore[reportAttributeAccessIssue]

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> Carry:
        """As :meth:`rnnjax.RNN.initialize_carry`: the carry from which the first call starts."""
        return self.layer.initialize_carry(rng, input_shape, dtype)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def backward_features(self) -> int:
        """As :attr:`rnnjax.RNN.backward_features`: none."""
        return 0


def _reads_backwards(layer: Any) -> bool:
    """Whether a layer, or one of those that it stacks, begins at a sequence's end."""
    if isinstance(layer, Bidirectional) or getattr(layer, "reverse", False):
        return True
    return bool(getattr(layer, "backward_features", 0)) or any(map(_reads_backwards, getattr(layer, "layers", ())))

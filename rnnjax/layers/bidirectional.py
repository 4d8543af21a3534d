"""Two recurrences over the same inputs, one from each end.

Axes: B batch (any number of leading axes), T time, D input features, H hidden features.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.errors import UsageError
from rnnjax.layers.beside import is_recurrent
from rnnjax.layers.cells import Carry
from rnnjax.layers.parts import handed, own
from rnnjax.layers.rnn import RNN
from rnnjax.layers.training import switches
from rnnjax.layers.words import Answering, answered

Array = jax.Array


class Bidirectional(Answering, nn.Module):
    """A forward and a backward recurrence over the same inputs (Schuster and Paliwal 1997).

    The carry is the pair of both carries. The weights are the layer's own, as those of :class:`RNN`: one cell in both
    directions makes two sets. The directions are two loops; side by side in one, or as one batched product, they were
    not faster on a CPU.

    Attributes:
      forward: the recurrence in the inputs' order.
      backward: the other, with ``reverse=True``.
      merge: ``"concat"`` (outputs ``[..., T, H_f + H_b]``), ``"sum"``, ``"mean"`` or ``"mul"``.
      train: as of :class:`RNN`; None leaves it to the directions.
    """

    forward: RNN
    backward: RNN
    merge: str = "concat"
    train: bool | None = None

    def __new__(cls, *args: Any, **options: Any):
        if len(args) + len(options.keys() & {"forward", "backward"}) == 1:  # none at all: it is copied
            raise UsageError("Bidirectional takes both directions: Bidirectional(RNN(cell), RNN(cell, reverse=True))")
        return super().__new__(cls, *args, **options)

    def __post_init__(self):
        switches(self)
        for name in ("forward", "backward"):
            part = getattr(self, name)
            if not is_recurrent(part):
                raise UsageError(
                    f"Bidirectional: {name} must be a layer of this package that returns its carry, as in "
                    f"Bidirectional(RNN(LSTMCell(64)), RNN(LSTMCell(64), reverse=True)), got {type(part).__name__}"
                )
        for name, wanted in (("forward", False), ("backward", True)):
            part = getattr(self, name)
            if _reverse(part) is (not wanted):
                kind = "RNN" if isinstance(part, RNN) else f"{type(part).__name__} is of layers that each"
                verb = "needs" if isinstance(part, RNN) else "need"
                raise UsageError(f"Bidirectional: the {name} {kind} {verb} reverse={wanted}")
        if self.merge not in ("concat", "sum", "mean", "mul"):
            raise UsageError(f"Bidirectional: merge must be one of concat, sum, mean, mul, got {self.merge!r}")
        self.forward, self.backward = own(self, self.forward), own(self, self.backward)
        super().__post_init__()

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
        """As :meth:`RNN.__call__`; ``initial_carry`` and ``reset_carry`` are pairs of both directions' carries.

        In chunks of a long sequence only the forward carry is that of the step before a chunk. The backward direction
        begins at the chunk's end: its carry from the chunk before has not read what follows.
        """
        given = handed(
            self,
            2,
            inputs,
            initial_carry,
            reset_carry,
            train,
            return_carries,
            lengths=lengths,
            mask=mask,
            resets=resets,
        )
        (first, begin), (reset, begin_again) = given.initial, given.reset
        forward, ahead = self.forward(given.inputs, initial_carry=first, reset_carry=reset, **given.options)
        backward, behind = self.backward(given.inputs, initial_carry=begin, reset_carry=begin_again, **given.options)
        return (forward, backward), self._merged(ahead, behind)

    @property
    def features(self) -> int:
        """Features of the outputs."""
        return self.forward.features + (self.backward.features if self.merge == "concat" else 0)

    def initialize_carry(self, rng: Array | None, input_shape: Sequence[int], dtype: Any = None) -> tuple[Carry, Carry]:
        """As :meth:`RNN.initialize_carry`: the pair of both directions' carries."""
        of = [part.initialize_carry(rng, input_shape, dtype) for part in (self.forward, self.backward)]
        return of[0], of[1]

    def step(self, *_: Any, **__: Any):
        """There is none.

        Raises:
          UsageError: always.
        """
        raise UsageError(
            "Bidirectional.step: the backward direction begins with the last step, so that two directions cannot "
            "stream; use an RNN that reads forwards"
        )

    @property
    def backward_features(self) -> int:
        """As :attr:`RNN.backward_features`.

        Raises:
          UsageError: if the directions are merged feature by feature: no step then holds what both have read last.
        """
        if self.merge != "concat":
            raise UsageError(
                f"Bidirectional: with merge={self.merge!r} no step of the outputs holds what both directions have read "
                "last; pool mean or max, or use merge='concat', or the carries"
            )
        return self.backward.backward_features

    def _merged(self, ahead: Array, behind: Array) -> Array:
        if self.merge == "concat":
            return jnp.concatenate([ahead, behind], axis=-1)
        if ahead.shape != behind.shape:
            raise UsageError(f"Bidirectional: cannot {self.merge} outputs {ahead.shape} and {behind.shape}")
        if self.merge == "mul":
            return ahead * behind
        return ahead + behind if self.merge == "sum" else (ahead + behind) / 2


def _reverse(layer: Any) -> bool | None:
    """Whether a layer, or each of those that it stacks, reads backwards; None where they differ or it is unknown."""
    if isinstance(layer, RNN):
        return layer.reverse
    ways = {_reverse(part) for part in getattr(layer, "layers", ()) if is_recurrent(part)}
    return ways.pop() if len(ways) == 1 else None

"""What every peer of a benchmark computes: one recurrent layer, its last real output, a dense head, a loss."""

import dataclasses
import functools
from typing import Any

import numpy as np

from rnnjax.errors import UsageError
from rnnjax.models.config import Dtype, Precision

CLASSES = 10
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
FORMS = ("plain", "masked", "bidirectional")
MODES = ("forward", "train")
LEARNING_RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Shape:
    """Batch B, steps T, input features D, hidden features H."""

    B: int
    T: int
    D: int
    H: int

    def __str__(self) -> str:
        return f"B{self.B} T{self.T} D{self.D} H{self.H}"

    @staticmethod
    def parse(text: str) -> "Shape":
        """A shape from ``"B,T,D,H"``.

        Raises:
          UsageError: if these are not four positive integers.
        """
        try:
            B, T, D, H = (int(part) for part in text.split(","))
        except ValueError:
            raise UsageError(f"a shape is B,T,D,H, four integers such as 128,28,28,128; got {text!r}") from None
        if min(B, T, D, H) < 1:
            raise UsageError(f"the numbers of a shape are positive, got {text!r}")
        return Shape(B, T, D, H)


@dataclasses.dataclass(frozen=True)
class Task:
    """One layer to be timed.

    The classifier takes the last real output (of two directions: the forward one's at the last real
    step beside the backward one's at the first) to a dense layer of ten classes; the loss is the mean
    softmax cross-entropy. ``train`` is loss, gradient and one step of Adam, ``forward`` the logits.

    Attributes:
      cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
      form: ``"plain"``, ``"masked"`` (rows of random length) or ``"bidirectional"``.
      mode: ``"forward"`` or ``"train"``.
      shape: of the inputs and the layer.
      dtype: of the layer's computation; parameters stay float32 where the peer has both.
      precision: of float32 products on an accelerator, one of :data:`rnnjax.config.Precision`.
    """

    cell: str
    form: str
    mode: str
    shape: Shape
    dtype: Dtype = "float32"
    precision: Precision = "default"

    @property
    def directions(self) -> int:
        return 2 if self.form == "bidirectional" else 1

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        """Standard normal, ``[B, T, D]`` float32."""
        shape = self.shape
        return np.random.default_rng(0).standard_normal((shape.B, shape.T, shape.D), np.float32)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """``[B]`` int32."""
        return np.random.default_rng(1).integers(0, CLASSES, self.shape.B, np.int32)

    @functools.cached_property
    def lengths(self) -> np.ndarray | None:
        """``[B]`` int32, uniform in T/2..T, when masked."""
        if self.form != "masked":
            return None
        T = self.shape.T
        return np.random.default_rng(0).integers((T + 1) // 2, T + 1, self.shape.B, np.int32)

    @functools.cached_property
    def weights(self) -> dict[str, Any]:
        """``recurrent`` as the parameters of an ``RNN`` or a ``Bidirectional``, ``kernel`` and ``bias`` of the head."""
        random, (D, H) = np.random.default_rng(2), (self.shape.D, self.shape.H)

        def draw(*shape: int) -> np.ndarray:
            return random.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32)

        def direction() -> dict[str, Any]:
            width = GATES[self.cell] * H
            cell = {"input_kernel": draw(D, width), "recurrent_kernel": draw(H, width), "bias": draw(width)}
            return {"cell": cell | ({"recurrent_bias": draw(H)} if self.cell == "gru" else {})}

        recurrent = direction() if self.directions == 1 else {"forward": direction(), "backward": direction()}
        return {"recurrent": recurrent, "kernel": draw(H * self.directions, CLASSES), "bias": draw(CLASSES)}

    def bytes_needed(self) -> int:
        """Upper estimate of one call: a scan under plain differentiation keeps some 30 arrays [T, B, H]."""
        B, T, D, H = dataclasses.astuple(self.shape)
        return 4 * (B * T * (30 * H * self.directions + 4 * D) + 8 * self.directions * GATES[self.cell] * H * (D + H))

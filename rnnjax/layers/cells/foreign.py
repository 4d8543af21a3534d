"""Cells of Flax, and of anybody who derives from ``nn.RNNCellBase``, as cells of this package."""

from typing import Any, NoReturn

import flax.linen as nn
import jax

from rnnjax.errors import UsageError
from rnnjax.layers.cells.base import SILENT, Array, Carry, Noise, RecurrentCell


class ForeignCell(RecurrentCell):
    """Runs a cell that knows ``cell(carry, inputs)`` alone; :class:`rnnjax.RNN` puts one around such a cell itself.

    Its step is the whole of the other's: nothing is projected for all steps at once, and the recurrence is always a
    scan. Masks, lengths, resets, directions, ``remat`` and dropout on the inputs are as with any cell; there are no
    recurrent kernel for dropout on it and no readout for zoneout. The parameters lie where ``flax.linen.RNN`` has
    them. Outputs have the dtype that the cell gives them. Its first carry is drawn with
    ``jax.random.key(0)``, as there.

    Attributes:
      features: features of the outputs; None where the cell has no attribute of this name.
      cell: the other cell, for inputs with one axis of features.
    """

    features: int | None = None  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    cell: Any = None

    def __post_init__(self):
        axes = getattr(self.cell, "num_feature_axes", 1)
        if axes != 1:
            raise UsageError(
                f"RNN: {type(self.cell).__name__} has {axes} axes of features, and RNN runs over inputs [..., T, D]; "
                "flax.linen.RNN runs it, with seq_lengths= for lengths="
            )
        nn.Module.__post_init__(self)

    def setup(self):
        nn.share_scope(self, self.cell)

    @property
    def _kind(self) -> str:
        return type(self.cell).__name__

    @property
    def recurrent_shape(self) -> None:
        return None

    @property
    def output_features(self) -> int:
        if self.features is None:
            raise UsageError(f"RNN: {self._kind} does not say how many features it puts out; give it `features`")
        return self.features

    def project(self, inputs: Array) -> Array:
        return inputs

    def step(self, carry: Carry, projected: Array, noise: Noise = SILENT) -> tuple[Carry, Array]:
        del noise
        return self.cell(carry, projected)

    def readout(self, carry: Carry, projected: Array) -> NoReturn:
        raise UsageError(
            f"RNN: zoneout needs to know what the outputs are of a carry, and {self._kind} does not say; make it a "
            "rnnjax.RecurrentCell with a readout"
        )

    def compute_dtype(self, inputs: Array) -> None:
        return None

    @nn.nowrap
    def initialize_carry(self, rng, input_shape, dtype: Any = None) -> Carry:
        del dtype
        return self.cell.initialize_carry(jax.random.key(0) if rng is None else rng, tuple(input_shape))


def adapted(cell: Any) -> RecurrentCell:
    """The cell, or a :class:`ForeignCell` around it.

    Raises:
      UsageError: if it is no cell.
    """
    if isinstance(cell, RecurrentCell):
        return cell
    if isinstance(cell, type):
        raise UsageError(f"RNN: give a cell, and not its class: RNN({cell.__name__}(64))")
    if not isinstance(cell, nn.Module):
        raise UsageError(f"RNN runs a cell, such as RNN(LSTMCell(64)) for 64 features, got {shown(cell)}")
    if not all(hasattr(type(cell), name) for name in ("initialize_carry", "num_feature_axes")):
        raise UsageError(
            f"RNN runs a cell, and {type(cell).__name__} is none: a cell is a rnnjax.RecurrentCell or a "
            "flax.linen.RNNCellBase, such as in RNN(LSTMCell(64)); layers stand one above the other in a StackedRNN"
        )
    features = getattr(cell, "features", None)
    return ForeignCell(
        features if isinstance(features, int) else None, cell=cell.copy(parent=None, name=None), parent=None
    )


def shown(given: Any) -> str:
    """What was given, as errors say it: by its type where its text is long."""
    kind = given if isinstance(given, type) else type(given)
    text = repr(given)
    return text if len(text) < 60 and "\n" not in text and given is not kind else f"{kind.__module__}.{kind.__name__}"

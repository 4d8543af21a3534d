"""The section ``model`` of a forecaster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rnnjax.config.checks import check, choice, option, positive, rate
from rnnjax.models.config import Cell, Dtype, ModelConfig, Precision

if TYPE_CHECKING:
    from rnnjax.data.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ForecastModel(ModelConfig):
    """A recurrent forecaster that reads each column by itself, with weights that all columns share.

    It reads a look-back segment by segment and answers all segments of the horizon at once, after SegRNN (Lin et al.
    2023). A segment of 1 reads and answers row by row.
    """

    kind: ClassVar[str] = "forecast"
    cell: Cell = "gru"
    """Recurrent cell; in Python, also a class of one's own."""
    features: int = 128
    """Hidden features."""
    segment: int = 0
    """Rows of a segment; 0: by the look-back, at most 48 and a half of it, and 1 where it is short."""
    dropout: float = 0.1
    """Dropout rate before the outputs."""
    dtype: Dtype = option("float32", rare=True)
    """Dtype of the layers' computation; parameters, outputs and loss are float32."""
    precision: Precision = option("default", rare=True)
    """Precision of float32 products on accelerators, in training and in all uses of the trained model."""

    def build(self, spec: "Spec", width: int) -> Any:
        """An :class:`rnnjax.models.forecast.SegmentForecaster`."""
        from rnnjax.models.build import forecast_model

        return forecast_model(self, spec, width)

    def __post_init__(self):
        if not isinstance(self.cell, type):
            choice(self, "cell", Cell)
        positive(self, "features")
        check(self.features % 2 == 0, self, "features", "even: half of them tell the position, half the column")
        check(self.segment >= 0, self, "segment", "0 or more rows")
        rate(self, "dropout")
        choice(self, "dtype", Dtype)
        choice(self, "precision", Precision)


SHORT = 24
"""Rows of a look-back below which it is read row by row."""
LONGEST = 48


def segment_of(look_back: int) -> int:
    """The rows of a segment by the look-back: the most, up to 48, that divide it into two segments or more."""
    if look_back < SHORT:
        return 1
    most = min(LONGEST, look_back // 2)
    least = most // 2
    return next((size for size in range(most, least, -1) if look_back % size == 0), most)

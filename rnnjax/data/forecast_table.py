"""The section of a configuration that names a series to be forecast."""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, option, positive, runtime
from rnnjax.config.data import DataConfig

Missing = Literal["refuse", "forward"]
Gaps = Literal["refuse", "forward", "keep"]
Loss = Literal["squared", "absolute", "pinball"]


@dataclass(frozen=True, kw_only=True)
class ForecastTable(DataConfig):
    """A table with a column of times, a row a step, and columns of numbers to forecast.

    Each window of --data.look-back rows is an input, and the --data.horizon rows after it are to be forecast. The rows
    are split in the order of time: training, validation, test. Every window whose horizon lies in a part counts once;
    its look-back may reach into what lies before. Columns are standardised by the training rows alone.
    """

    kind: ClassVar[str] = "forecast_table"
    places: ClassVar[tuple[str, ...]] = ("data_dir", "path")
    name: str = option("forecast_table", offered=False)
    """Not used: the data set is called by its file."""
    data_dir: str | None = option(None, runtime=True, offered=False)
    """Not used: --data.path names the table."""
    path: str = runtime("")
    """Your table: .csv, .tsv, .jsonl, .parquet and the like."""
    time_column: str | None = None
    """Column of the times; unset: found by its name, or by what it holds."""
    columns: tuple[str, ...] = ()
    """Columns to forecast; unset: all that hold numbers."""
    look_back: int | None = None
    """Rows that a forecast is made from; unset: 96, of a short table fewer."""
    horizon: int | None = None
    """Rows that are forecast; unset: 24, of a short table fewer."""
    validation_fraction: float = 0.2
    """Share of the rows, before the test part, to choose by."""
    test_fraction: float = 0.2
    """Share of the rows, at the end, to test on."""
    split: str = ""
    """Rows of each part in place of shares, such as 8640,2880,2880; what is left over is not used."""
    loss: Loss = "squared"
    """What is trained by, and chooses the best: squared or absolute error, or pinball loss of quantiles."""
    quantiles: tuple[float, ...] = ()
    """Quantiles that are forecast, by pinball loss; unset: with --data.loss pinball 0.1 0.5 0.9."""
    missing: Missing = "refuse"
    """Cells without a number: stop, or take the number of the row before."""
    gaps: Gaps = "refuse"
    """Missing rows: stop, fill in the row before, or keep rows as equal steps."""
    season: int = option(0, rare=True)
    """Rows of a season, for the bar that repeats the last one; 0: found by the training rows."""
    time_format: str | None = option(None, rare=True)
    """Format of the times, such as '%d.%m.%Y %H:%M'; unset: found out."""
    delimiter: str | None = option(None, rare=True)
    """What stands between fields; unset: found out."""
    encoding: str | None = option(None, rare=True)
    """Encoding of the file; unset: UTF-8."""
    batch_size: int = 32
    """Windows in one step, over all devices together."""

    @property
    def parts(self) -> tuple[int, int, int] | None:
        """The rows of each part, where they are said; None: by shares."""
        if not self.split:
            return None
        training, validation, test = (int(part) for part in self.split.split(","))
        return training, validation, test

    def load(self) -> Any:
        """The windows of a table."""
        from rnnjax.data import forecasts

        return forecasts.load(self)

    def fitting(self, examples: int, multiple: int) -> Any:
        """The section with a batch that few windows fill."""
        return self.with_smaller_batch(examples, multiple)

    def task_of(self, given: Any) -> Any:
        """The task with the loss and the quantiles that are said here; where none is, as it is."""
        return given.said(self.loss, self.quantiles) if hasattr(given, "said") else given

    def __post_init__(self):
        super().__post_init__()
        for name in ("look_back", "horizon"):
            if getattr(self, name) is not None:
                positive(self, name)
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        left = 1 - self.validation_fraction - self.test_fraction
        check(left > 0, self, "test_fraction", "such that a part is left to train on")
        numbers = self.split.split(",") if self.split else ["1"] * 3
        whole = len(numbers) == 3 and all(part.strip().isdecimal() and int(part) > 0 for part in numbers)
        check(whole, self, "split", "three numbers of rows, such as 8640,2880,2880")
        choice(self, "loss", Loss)
        choice(self, "missing", Missing)
        choice(self, "gaps", Gaps)
        check(len(set(self.columns)) == len(self.columns), self, "columns", "different columns")
        rising = all(a < b for a, b in itertools.pairwise(self.quantiles))
        within = all(0 < quantile < 1 for quantile in self.quantiles)
        check(rising and within, self, "quantiles", "rising, between 0 and 1")
        fits = not self.quantiles or self.loss != "absolute"
        check(fits, self, "quantiles", "left out where --data.loss is absolute")
        check(self.season >= 0, self, "season", "0 or more rows")

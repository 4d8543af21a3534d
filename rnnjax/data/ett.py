"""Electricity transformer temperatures (Zhou et al. 2021, arXiv:2012.07436), in the published protocol."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import choice, option, runtime
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.data.times import Step
from rnnjax.errors import DataError, UsageError

Name = Literal["ETTh1", "ETTh2"]
ROWS = 17_420
COLUMNS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
_PAGE = "github.com/zhouhaoyi/ETDataset"
_DAY, _MONTH = 24, 30 * 24
_HOUR = Step(3_600_000_000, "microseconds")


@dataclass(frozen=True, kw_only=True)
class EttData(ForecastTable):
    """Two years of hours of a transformer's load and oil temperature: 7 columns.

    Of months of 30 days the first twelve are trained on, the next four are validation, and the next four the test.
    Every window whose horizon lies in a part counts; its look-back may reach into what lies before.
    """

    kind: ClassVar[str] = "ett"
    withheld: ClassVar[tuple[str, ...]] = (
        "split",
        "time_column",
        "columns",
        "validation_fraction",
        "test_fraction",
        "missing",
        "gaps",
        "loss",
    )
    name: str = "ETTh1"
    """Which transformer: ETTh1 or ETTh2."""
    path: str = runtime("")
    """Folder with ETTh1.csv and ETTh2.csv, or one of these files."""
    split: str = f"{12 * _MONTH},{4 * _MONTH},{4 * _MONTH}"
    """Rows of each part, as published."""
    look_back: int | None = 96
    """Rows that a forecast is made from."""
    horizon: int | None = option(96, of_target=True)
    """Rows that are forecast; published are 96, 192, 336 and 720."""
    quantiles: tuple[float, ...] = ()
    """Quantiles that are forecast, by pinball loss; unset: values, by the loss of the experiment's task."""
    season: int = option(_DAY, rare=True)
    """Rows of a season, for the bars that repeat it."""

    def load(self) -> Any:
        """The windows of a transformer.

        Raises:
          UsageError: if no place is named.
          DataError: if the file is not there, or not of the published columns, hours and rows.
        """
        if not self.path:
            raise UsageError(f"say where {self.name}.csv of {_PAGE} lies: --data.path FOLDER (its ETT-small)")
        path = Path(self.path).expanduser()
        path = path / f"{self.name}.csv" if path.is_dir() else path
        if not path.exists():
            raise DataError(f"{path}: no such file; {self.name}.csv is in the folder ETT-small of {_PAGE}")
        if path.stem != self.name:
            raise DataError(f"{path}: the data asked for are {self.name}; give {self.name}.csv, or --data.name")
        made = replace(self, path=str(path))
        dataset = ForecastTable.load(made)
        held = dataset.preprocess.columns
        if held != COLUMNS:
            raise DataError(f"{path}: its columns are {', '.join(held)}, and those of {self.name} {', '.join(COLUMNS)}")
        if (step := dataset.preprocess.step) != _HOUR:
            raise DataError(f"{path}: its rows are {step.times(1)} apart, and those of {self.name} 1 hour")
        return replace(dataset, name=self.name)

    def __post_init__(self):
        super().__post_init__()
        choice(self, "name", Name)

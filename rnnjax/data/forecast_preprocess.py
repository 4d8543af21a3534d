"""A series as windows of standardised columns, and what is forecast of one with its times."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np

from rnnjax.data import series
from rnnjax.data.preprocess import Preprocess, one_where_constant, require
from rnnjax.data.reading import Input
from rnnjax.data.series import Reading, Series
from rnnjax.data.series_windows import SeriesWindows
from rnnjax.data.spec import Shape, Spec
from rnnjax.data.times import Step, Unit
from rnnjax.errors import DataError, UsageError
from rnnjax.files import write_text

if TYPE_CHECKING:
    from rnnjax.data.examples import Examples


@dataclass(frozen=True)
class LookBack:
    """What a forecast is made from.

    Attributes:
      values: ``[look back, C]``, in the data's units.
      times: of the rows that follow, a string each; none where they are not known.
      file: in which it stands, where there are several.
    """

    values: np.ndarray
    times: tuple[str, ...] = ()
    file: str = ""


@dataclass(frozen=True)
class ForecastPreprocess(Preprocess):
    """Windows of a series, standardised by the training rows' mean and standard deviation.

    Attributes:
      reading: how its files are read; the columns to forecast are among it.
      mean, std: one value a column; a column that is constant has std 1.
      look_back, horizon: rows of a window, and after it.
      step: between rows.
      season: rows of a season, where that was said; 0: it is found where it is needed.
    """

    kind: ClassVar[str] = "forecast"
    wanted: ClassVar[str] = "a table whose last rows are what is to be forecast from"
    rows: ClassVar[str] = "windows"
    reading: Reading
    mean: tuple[float, ...]
    std: tuple[float, ...]
    look_back: int
    horizon: int
    step: Step
    season: int = 0

    @classmethod
    def fit(cls, found: Series, rows: int, look_back: int, horizon: int, season: int = 0) -> Self:
        """Takes the statistics of the first rows of a series; raises DataError where they are too large to have any."""
        reading, values = found.reading, found.values[:rows]
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = values.mean(0), values.std(0)
        if not np.isfinite([mean, std]).all():
            column = reading.columns[int((~np.isfinite(mean) | ~np.isfinite(std)).argmax())]
            raise DataError(
                f"{found.name}: column {column!r} holds numbers that are too large to be squared; divide it first"
            )
        std = one_where_constant(std, mean, len(values))
        return cls(reading, tuple(mean.tolist()), tuple(std.tolist()), look_back, horizon, found.step, season)

    @property
    def columns(self) -> tuple[str, ...]:
        """What is forecast, in the order of the arrays' last axis."""
        return self.reading.columns

    @property
    def spec(self) -> Spec:
        """Windows ``[1, look back, C]``; the outputs are the steps ahead that each column is forecast."""
        shape = Shape((1, self.look_back, len(self.columns)), np.dtype(np.float32))
        return Spec({"inputs": shape}, outputs=self.horizon)

    def standardised(self, values: np.ndarray) -> np.ndarray:
        """Values ``[..., C]`` in the data's units as they are stored; in float64, so that large ones lose nothing.

        Raises:
          DataError: where one lies so far from the training rows that squared errors would have no number.
        """
        wide = np.asarray(values, np.float64)
        with np.errstate(over="ignore"):
            made = (wide - self.mean) / self.std
        far = np.abs(made) > _LARGEST
        if far.any():
            *_, column = place = np.unravel_index(int(far.argmax()), far.shape)
            raise DataError(
                f"column {self.columns[column]!r} holds {wide[place]:g}, which is {abs(made[place]):.2g} standard "
                "deviations from the mean of the training rows: no error of it can be squared; mend or remove that row"
            )
        return made.astype(np.float32)

    def windows(self, values: np.ndarray) -> "Examples":
        """All windows of rows ``[T, C]`` in the data's units: ``inputs``, and the rows after each as ``targets``.

        Raises:
          DataError: if there are too few rows for one.
        """
        from rnnjax.data.examples import Examples

        count = len(values) - self.look_back - self.horizon + 1
        if count < 1:
            raise DataError(
                f"{len(values):,} rows are too few: a window has {self.look_back:,} and {self.horizon:,} after it"
            )
        stored, starts = self.standardised(values), np.arange(count, dtype=np.int32)
        arrays = {
            "inputs": SeriesWindows(stored, starts, self.look_back),
            "targets": SeriesWindows(stored, starts + np.int32(self.look_back), self.horizon),
            "shown": _shown(count),
        }
        return Examples(arrays)

    def encode(self, raw: Any) -> dict[str, np.ndarray]:
        """The last rows of each of ``raw``: arrays ``[T, C]`` in the data's units, or ``[N, T, C]``.

        Raises:
          DataError: if one has fewer rows than the look-back, or other columns.
        """
        if isinstance(raw, Mapping):
            raise DataError("forecasts are made from arrays [N, rows, columns], or a list of [rows, columns]")
        rows = [self._last(part.values if isinstance(part, LookBack) else part) for part in raw]
        if not rows:
            return {"inputs": np.zeros((0, self.look_back, len(self.columns)), np.float32)}
        return {"inputs": self.standardised(np.stack(rows))}

    def _last(self, values: Any) -> np.ndarray:
        try:
            array = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise DataError("forecasts are made from numbers, [rows, columns]") from None
        if array.ndim == 1 and len(self.columns) == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != len(self.columns):
            raise DataError(
                f"a forecast is made from [rows, {len(self.columns)}], the columns {', '.join(self.columns)}; "
                f"got {list(array.shape)}"
            )
        if len(array) < self.look_back:
            raise DataError(f"{len(array):,} rows are too few: the model looks back at {self.look_back:,}")
        return array[len(array) - self.look_back :]

    def read(self, paths: Sequence[str], texts: Sequence[str], stdin: Any) -> list[Input]:
        """The last rows of each table.

        Raises:
          UsageError: if texts or the standard input are given.
        """
        if texts or "-" in paths:
            raise UsageError(f"predict reads no texts and no standard input here; give {self.wanted}")
        several = len(paths) > 1
        return [(path, lambda path=path: self._look_back(Path(path), path if several else "")) for path in paths]

    def _look_back(self, path: Path, file: str) -> LookBack:
        found = self._series(path)
        if len(found.values) < self.look_back:
            raise DataError(
                f"{path}: {len(found.values):,} rows are too few: the model looks back at {self.look_back:,}"
            )
        return LookBack(found.values[-self.look_back :], tuple(found.after(self.horizon)), file)

    def _series(self, path: Path) -> Series:
        # The format of the times is found out anew: another file may write them otherwise.
        try:
            return series.read(path, self.reading, self.step)
        except DataError:
            if self.reading.time_format is None:
                raise
            return series.read(path, replace(self.reading, time_format=None), self.step)

    def labelled(self, path: str | Path) -> "Examples":
        """All windows of a new table with the rows after each.

        Raises:
          DataError: if it cannot be read, or has too few rows.
        """
        found = self._series(Path(path))
        try:
            windows = self.windows(found.values)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        first = range(self.look_back, len(found.values) - self.horizon + 1)
        return replace(windows, places=[found.time(row) for row in first])

    def answered(self, raw: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        """An answer with the times that it is of."""
        if not isinstance(raw, LookBack):
            return dict(row)
        named = {"file": raw.file} if raw.file else {}
        return {**named, self.reading.time_column or "row": list(raw.times), **row}

    def save_samples(self, dataset: Any, texts: Sequence[str], folder: Path) -> None:
        """Leaves the last rows that were read, to forecast what comes after them."""
        for text in dataset.sample_texts[:1]:
            write_text(folder / "last-rows.csv", text)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "reading": self.reading.to_json(),
            "mean": list(self.mean),
            "std": list(self.std),
            "look_back": self.look_back,
            "horizon": self.horizon,
            "step": list(self.step),
            "season": self.season,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        reading = Reading.from_json({**values["reading"], "columns": values["columns"]})
        sizes = {name: values[name] for name in ("look_back", "horizon", "season")}
        for name, size in sizes.items():
            require(type(size) is int and size >= (name != "season"), name, size)
        for name in ("mean", "std"):
            ok = len(values[name]) == len(reading.columns) > 0
            require(ok and all(isinstance(value, int | float) for value in values[name]), name, values[name])
        require(min(values["std"]) > 0, "std", values["std"])
        count, unit = values["step"]
        require(isinstance(count, int | float) and count > 0 and unit in get_args(Unit), "step", values["step"])
        return cls(reading, tuple(values["mean"]), tuple(values["std"]), step=Step(count, unit), **sizes)


_LARGEST = 1e15
"""Standard deviations; sums of squares of more have no number in float32, which ends at 3e38."""
SHOWN = 4
"""Windows of a split that are drawn."""


def _shown(count: int) -> np.ndarray:
    """``[N]`` int32: of a few windows, spread over all, which of those that are drawn each is, from 1 on; else 0."""
    out, few = np.zeros(count, np.int32), min(SHOWN, count)
    out[np.unique(np.linspace(0, count - 1, few).astype(int))] = 1 + np.arange(few)
    return out


def rows_as_csv(found: Series, rows: int) -> str:
    """The last rows of a series as a table that is read as it was."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    timed = [found.reading.time_column] if found.times is not None else []
    writer.writerow([*timed, *found.reading.columns])
    for row in range(max(0, len(found.values) - rows), len(found.values)):
        time = [found.time(row)] if timed else []
        writer.writerow([*time, *(f"{value:.15g}" for value in found.values[row])])
    return out.getvalue()

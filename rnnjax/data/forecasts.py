"""From a table to windows with what follows each, split in the order of time."""

from pathlib import Path

import numpy as np

from rnnjax.data import series
from rnnjax.data.examples import Dataset
from rnnjax.data.forecast_preprocess import ForecastPreprocess, rows_as_csv
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.data.series import Reading, Series
from rnnjax.errors import DataError, UsageError

NAMES = ("train", "validation", "test")
LOOK_BACK, HORIZON = 96, 24
"""Rows, where nothing else is said and the table is long enough."""

_SHOWN = 8


def load(config: ForecastTable) -> Dataset:
    """The windows of a table.

    Raises:
      UsageError: if none is named.
      DataError: if it cannot be read, is no series, or is too short.
    """
    if not config.path:
        raise UsageError("say where your table is: --data.path FILE.csv")
    path = Path(config.path).expanduser()
    names = ("columns", "time_column", "time_format", "missing", "gaps", "delimiter", "encoding")
    found = series.read(path, Reading(**{name: getattr(config, name) for name in names}))
    if found.reading.time_column and found.reading.time_column in found.reading.columns:
        raise UsageError(f"{found.reading.time_column!r} is the column of the times: it is not forecast too")
    ends = bounds(len(found.values), config, path)
    look_back, horizon = sizes(config, ends)
    check_sizes(path, len(found.values), ends, look_back, horizon)
    held = found.values[: ends[-1]]
    fitted = ForecastPreprocess.fit(found, ends[0], look_back, horizon, config.season)
    begins = (0, *(end - look_back for end in ends[:-1]))
    splits = {name: fitted.windows(held[begin:end]) for name, begin, end in zip(NAMES, begins, ends, strict=True)}
    understood = (*found.understood, *_split_lines(found, fitted, ends))
    return Dataset(
        path.resolve().name,
        splits["train"],
        splits["validation"],
        splits["test"],
        fitted,
        understood=understood,
        places=lambda: _places(found, fitted, ends),
        sample_texts=(rows_as_csv(found, look_back),),
    )


def bounds(count: int, config: ForecastTable, path: Path) -> tuple[int, int, int]:
    """Where in so many rows each part ends; raises DataError where more rows are asked for than there are."""
    if config.parts is None:
        tested = count - round(count * config.test_fraction)
        return tested - round(count * config.validation_fraction), tested, count
    held, tested, end = (int(rows) for rows in np.cumsum(config.parts))
    if end > count:
        raise DataError(f"{path}: --data.split asks for {end:,} rows, and there are {count:,}")
    return held, tested, end


def sizes(config: ForecastTable, ends: tuple[int, int, int]) -> tuple[int, int]:
    """Look-back and horizon: what is said, or what leaves each part half of its rows to begin a window with."""
    held = min(ends[0], ends[1] - ends[0], ends[2] - ends[1])
    horizon = config.horizon or min(HORIZON, max(1, held // 2))
    return config.look_back or min(LOOK_BACK, max(1, (ends[0] - horizon) // 2)), horizon


def check_sizes(path: Path, count: int, ends: tuple[int, int, int], look_back: int, horizon: int) -> None:
    """Raises DataError where a part has no window."""
    needs = look_back + horizon, horizon, horizon
    for name, begin, end, needed in zip(NAMES, (0, *ends), ends, needs, strict=False):
        if end - begin >= needed:
            continue
        said = f"{path}: {end - begin:,} of {count:,} rows are the {name} part, and "
        if name == "train":
            raise DataError(
                f"{said}one window needs {needed:,} ({look_back:,} to look back at, {horizon:,} to forecast); "
                "give more rows, or a smaller --data.look-back or --data.horizon"
            )
        raise DataError(
            f"{said}{horizon:,} are forecast; give more rows, a smaller --data.horizon, or other parts by "
            f"--data.{name}-fraction"
        )


def _places(found: Series, made: ForecastPreprocess, ends: tuple[int, int, int]) -> dict[str, list[str]]:
    """When the first row ahead of each window is."""
    begins = (made.look_back, *ends[:-1])
    return {
        name: [found.time(row) for row in range(begin, end - made.horizon + 1)]
        for name, begin, end in zip(NAMES, begins, ends, strict=True)
    }


def _split_lines(found: Series, made: ForecastPreprocess, ends: tuple[int, int, int]) -> list[str]:
    """How the rows were split, a line each part, with the windows that count."""
    look_back, horizon = made.look_back, made.horizon
    numbered = found.times is None or found.step.unit == "numbers"
    spans = [""] * 2 if numbered else [f" ({found.step.times(rows)})" for rows in (look_back, horizon)]
    ahead = f"1 row{spans[1]} is forecast" if horizon == 1 else f"{horizon:,} rows{spans[1]} are forecast"
    lines = [f"{ahead} from the {look_back:,}{spans[0]} before {'it' if horizon == 1 else 'them'}"]
    for name, begin, end in zip(NAMES, (0, *ends), ends, strict=False):
        windows = end - begin - horizon + 1 - (look_back if name == "train" else 0)
        shown = {"train": "training"}.get(name, name)
        lines.append(
            f"{shown}: {found.time(begin)} to {found.time(end - 1)}, {end - begin:,} rows, {windows:,} windows"
        )
    lines.append("mse and mae are in standard deviations of a column's training rows, and in units as it stands")
    still, always = (np.ptp(values, 0) == 0 for values in (found.values[: ends[0]], found.values))
    if names := [repr(name) for name, now in zip(made.columns, still & ~always, strict=True) if now]:
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        lines.append(f"constant in the training rows alone: {shown}; mse and mae of that are in its own units")
    if unused := len(found.values) - ends[-1]:
        lines.append(f"not used: the last {unused:,} rows, from {found.time(ends[-1])} on")
    return lines

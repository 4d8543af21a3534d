"""Plain forecasts of the same windows: the last value, seasons of the window, and linear maps of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnjax.bars.base import Asked, Bar, judged
from rnnjax.data import Examples

Array = np.ndarray
Make = Callable[[Array], Array]
"""From windows ``[n, L, C]`` to forecasts ``[n, H, C]``, in standardised units."""

_TREND = 25
"""Rows of the moving average that is a window's trend, as published."""
_CHUNK = 256
_FEW = 2000
"""Windows by which quantiles of errors, and how strongly a linear map is held small, are found."""
_RIDGES = 10.0 ** np.arange(-7, 1)
"""Shares of the mean square of the inputs that are added to hold a linear map small; validation chooses."""
_SPEED = 1e9
"""Multiplications a second, with which the time of a fit is guessed."""


def last_value(asked: Asked) -> Bar | None:
    """Each column stays as it is."""
    if (horizon := _horizon(asked)) is None:
        return None
    return _bar("last value", lambda windows: np.repeat(windows[:, -1:], horizon, 1), asked)


def seasonal_naive(asked: Asked) -> Bar | None:
    """Each column does what it did a season before; None where no season is known or the look-back is shorter."""
    return _seasons("last season", asked, least=1, most=1)


def seasonal_mean(asked: Asked) -> Bar | None:
    """Each column does what it did in the mean of the window's seasons; None where it has not two whole ones."""
    return _seasons("mean season", asked, least=2)


def nlinear(asked: Asked) -> Bar | None:
    """NLinear (Zeng et al. 2023, arXiv:2205.13504) in closed form: a linear map of what the window is above its end."""
    return _linear("NLinear", lambda windows: windows - windows[:, -1:], asked, above_last=True)


def dlinear(asked: Asked) -> Bar | None:
    """DLinear (Zeng et al. 2023) in closed form: a linear map of the window's trend and one of what is left."""
    return _linear("DLinear", decomposed, asked, above_last=False)


def period(series: Array, longest: int) -> int:
    """The rows of a season: the lag of the highest peak of the autocorrelation, a mean over the columns; 0: none.

    Args:
      series: ``[T, C]``; a straight line is subtracted first.
      longest: lag; and a third of the rows at most.
    """
    values = np.asarray(series, np.float64)
    count = len(values)
    most = min(longest, count // 3)
    if most < 3:
        return 0
    line = np.stack([np.ones(count), np.linspace(-1, 1, count)], 1)
    values = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    power = np.abs(np.fft.rfft(values, 2 * count, axis=0)) ** 2
    products = np.fft.irfft(power, 2 * count, axis=0)[: most + 2]
    varying = products[0] > 1e-9 * count
    if not varying.any():
        return 0
    along = (products[:, varying] / products[0, varying]).mean(1)
    peaks = [lag for lag in range(2, most + 1) if along[lag - 1] < along[lag] > along[lag + 1] and along[lag] > 0.1]
    return max(peaks, key=lambda lag: along[lag], default=0)


def decomposed(windows: Array) -> Array:
    """Windows ``[n, L, C]`` as their trend, a moving average with repeated ends, and what is left: ``[n, 2L, C]``."""
    half = (_TREND - 1) // 2
    padded = np.pad(windows, ((0, 0), (half, half), (0, 0)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0), (0, 0))), 1)
    trend = (sums[:, _TREND:] - sums[:, :-_TREND]) / _TREND
    return np.concatenate([trend, windows - trend], 1)


def _horizon(asked: Asked) -> int | None:
    """The rows that are forecast; None where this is no forecast of a window's own columns."""
    train = asked.dataset.train
    if not asked.task.forecasts or not {"inputs", "targets"} <= set(train.arrays):
        return None
    inputs, targets = train["inputs"].shape, train["targets"].shape
    return targets[1] if len(inputs) == len(targets) == 3 and inputs[2] == targets[2] else None


def _seasons(name: str, asked: Asked, *, least: int, most: int | None = None) -> Bar | None:
    """The bar of the mean over the last ``most`` whole seasons of a window, which has ``least`` of them; else None."""
    if (horizon := _horizon(asked)) is None:
        return None
    inputs = asked.dataset.train["inputs"]
    look_back, said = inputs.shape[1], getattr(asked.dataset.preprocess, "season", 0)
    season = said or period(getattr(inputs, "series", inputs[0]), look_back)
    if not 0 < season * least <= look_back:
        return None
    count = most or look_back // season
    steps = np.arange(horizon) % season

    def make(windows: Array) -> Array:
        whole = windows[:, look_back - count * season :]
        return whole.reshape(len(whole), count, season, -1).mean(1)[:, steps]

    note = f"{f'of {count} seasons' if count > 1 else 'a season'} of {season} rows"
    return _bar(name, make, asked, note + ("" if said else ", found by the training rows"))


def _bar(name: str, make: Make, asked: Asked, note: str = "") -> Bar:
    """The bar of forecasts; for quantiles those of their errors on training windows are added to them."""
    spread = None
    if asked.task.loss == "pinball":  # pyright: ignore[reportAttributeAccessIssue]
        windows, targets = _some(asked.dataset.train, _FEW)
        quantiles = asked.task.quantiles  # pyright: ignore[reportAttributeAccessIssue]
        spread = np.moveaxis(np.quantile(targets - make(windows), quantiles, axis=0), 0, -1)  # [H, C, Q]
    outputs: Any = _Outputs(asked.examples["inputs"], make, spread)
    return judged(name, outputs, asked, likely=True, note=note)


class _Outputs:
    """Forecasts of all windows of a split, made when a part of them is asked for."""

    def __init__(self, windows: Any, make: Make, spread: Array | None):
        self._windows, self._make, self._spread = windows, make, spread

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, rows: slice) -> Array:
        made = self._make(np.asarray(self._windows[rows], np.float64))
        return (made if self._spread is None else made[..., None] + self._spread).astype(np.float32)


def _some(examples: Examples, most: int) -> tuple[Array, Array]:
    """Inputs and targets of at most so many windows, evenly spread."""
    rows = np.unique(np.linspace(0, len(examples) - 1, min(most, len(examples))).astype(int))
    return np.asarray(examples["inputs"][rows], np.float64), np.asarray(examples["targets"][rows], np.float64)


def _linear(name: str, features: Make, asked: Asked, *, above_last: bool) -> Bar | None:
    """The bar of a linear map that all columns share, fitted by least squares on all training windows."""
    if _horizon(asked) is None:
        return None
    train = asked.dataset.train
    inputs = train["inputs"]
    width = features(np.asarray(inputs[:1], np.float64)).shape[1] + 1
    cost = len(train) * inputs.shape[2] * width * (width + train["targets"].shape[1]) / _SPEED
    stride = max(1, int(np.ceil(cost / max(asked.seconds / 2, 1))))
    gram, products, count = _moments(train, features, stride, above_last)
    values, vectors = np.linalg.eigh(gram)
    turned = vectors.T @ products

    def forecasts(ridge: float) -> Make:
        weights = vectors @ (turned / (np.maximum(values, 0) + ridge * np.trace(gram) / width)[:, None])

        def make(windows: Array) -> Array:
            made = np.einsum("npc,ph->nhc", features(windows), weights[:-1], optimize=True) + weights[-1][:, None]
            return made + windows[:, -1:] if above_last else made

        return make

    windows, targets = _some(asked.dataset.validation, _FEW)
    errors = [float(np.mean((forecasts(ridge)(windows) - targets) ** 2)) for ridge in _RIDGES]
    note = f"of {count:,} of {len(train):,} training windows" if stride > 1 else ""
    return _bar(name, forecasts(_RIDGES[int(np.argmin(errors))]), asked, note)


def _moments(train: Examples, features: Make, stride: int, above_last: bool) -> tuple[Array, Array, int]:
    """Sums of products of the inputs with themselves and with the targets, and the windows that they are of."""
    rows, gram, products = np.arange(0, len(train), stride), 0.0, 0.0
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        windows = np.asarray(train["inputs"][part], np.float64)
        targets = np.asarray(train["targets"][part], np.float64)
        targets = targets - windows[:, -1:] if above_last else targets
        made = np.moveaxis(features(windows), 1, 2)
        made = made.reshape(-1, made.shape[-1])
        made = np.concatenate([made, np.ones((len(made), 1))], 1)
        gram = gram + made.T @ made
        products = products + made.T @ np.moveaxis(targets, 1, 2).reshape(len(made), -1)
    return np.asarray(gram), np.asarray(products), len(rows)

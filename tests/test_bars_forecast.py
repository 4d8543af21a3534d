"""Plain forecasts against NumPy and scikit-learn, on exactly the windows of the network."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from rnnjax.bars import forecast
from rnnjax.bars.base import Asked
from rnnjax.runs import bars
from rnnjax.tasks import Classification, Forecast
from tests.test_forecast_data import loaded

LOOK_BACK, HORIZON = 4, 3


def seasonal(count=200):
    """Two columns with a season of 4 rows and noise."""
    rng, rows = np.random.default_rng(0), np.arange(count)
    season = np.stack([np.sin(rows * np.pi / 2), 10 + 5 * np.cos(rows * np.pi / 2)], 1)
    return season + 0.1 * rng.normal(size=season.shape)


def asked(tmp_path, values, split="test", **options):
    dataset = loaded(tmp_path, values, **options)
    task = Forecast().said("squared", options.get("quantiles", ())).prepared(dataset, None)
    return Asked(dataset, task, split, 10.0)


def arrays(examples):
    return np.asarray(examples["inputs"][:], np.float64), np.asarray(examples["targets"][:], np.float64)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_last_value_and_the_last_season_are_what_they_say(tmp_path, split):
    question = asked(tmp_path, seasonal(), split)
    inputs, targets = arrays(question.examples)
    by_hand = {
        forecast.last_value: np.stack([inputs[:, -1]] * HORIZON, 1),
        forecast.seasonal_naive: inputs[:, [0, 1, 2]],  # rows 1, 2 and 3 ahead are what rows 4 before them were
    }
    for maker, made in by_hand.items():
        bar = maker(question)
        assert bar.metrics["mse"] == pytest.approx(((made - targets) ** 2).mean(), rel=1e-5)
        assert bar.metrics["mae"] == pytest.approx(abs(made - targets).mean(), rel=1e-5)
        means, counts = bar.outcomes.T
        assert counts.sum() == len(targets)
        np.testing.assert_allclose(means[0], ((made - targets)[:HORIZON] ** 2).mean(), rtol=1e-5)
    assert "a season of 4 rows, found by the training rows" in forecast.seasonal_naive(question).note


def test_linear_maps_are_least_squares_over_all_columns(tmp_path, monkeypatch):
    """With next to no ridge, NLinear is scikit-learn's linear regression of what the window is above its end."""
    monkeypatch.setattr(forecast, "_RIDGES", np.array([1e-12]))
    question = asked(tmp_path, seasonal())
    (x, y), (inputs, targets) = arrays(question.dataset.train), arrays(question.examples)

    def flat(windows):
        return np.moveaxis(windows, 1, 2).reshape(-1, windows.shape[1])

    fitted = LinearRegression().fit(flat(x - x[:, -1:])[:, :-1], flat(y - x[:, -1:]))
    made = fitted.predict(flat(inputs - inputs[:, -1:])[:, :-1]).reshape(-1, 2, HORIZON)
    made = np.moveaxis(made, 1, 2) + inputs[:, -1:]
    bar = forecast.nlinear(question)
    assert bar.metrics["mse"] == pytest.approx(((made - targets) ** 2).mean(), rel=1e-4)
    # Trend and remainder add up to the window, so that both are linear maps of it.
    fitted = LinearRegression().fit(flat(x), flat(y))
    made = np.moveaxis(fitted.predict(flat(inputs)).reshape(-1, 2, HORIZON), 1, 2)
    bar = forecast.dlinear(question)
    assert bar.metrics["mse"] == pytest.approx(((made - targets) ** 2).mean(), rel=1e-3)


def test_a_trend_is_a_moving_average_of_25_rows_with_the_ends_repeated():
    windows = np.random.default_rng(0).normal(size=(2, 40, 3))
    made = forecast.decomposed(windows)
    for row in (0, 5, 20, 39):
        near = windows[:, np.clip(np.arange(row - 12, row + 13), 0, 39)]
        np.testing.assert_allclose(made[:, row], near.mean(1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made[:, :40] + made[:, 40:], windows, rtol=1e-9, atol=1e-12)


def test_quantiles_are_those_of_the_errors_in_training(tmp_path):
    question = asked(tmp_path, seasonal(), quantiles=(0.1, 0.5, 0.9))
    (x, y), (inputs, targets) = arrays(question.dataset.train), arrays(question.examples)
    spread = np.quantile(y - x[:, -1:], (0.1, 0.5, 0.9), axis=0)
    made = inputs[None, :, -1:] + spread[:, None]
    error = targets - made
    alpha = np.array([0.1, 0.5, 0.9])[:, None, None, None]
    bar = forecast.last_value(question)
    assert bar.metrics["pinball"] == pytest.approx(np.maximum(alpha * error, (alpha - 1) * error).mean(), rel=1e-5)


@pytest.mark.parametrize("rows", [5, 12, 24])
def test_a_season_is_found_under_a_trend(rows):
    at = np.arange(40 * rows)
    values = np.sin(at * 2 * np.pi / rows) + 0.3 * np.sin(at * 4 * np.pi / rows) + 0.01 * at
    noise = np.random.default_rng(0).normal(size=(len(at), 2))
    assert forecast.period(values[:, None] + 0.3 * noise, 3 * rows) == rows
    assert forecast.period(values[:, None], rows - 2) == 0, "it is longer than what is looked back at"


def test_no_season_is_found_where_there_is_none():
    rng = np.random.default_rng(0)
    assert forecast.period(rng.normal(size=(2000, 2)), 100) == 0
    assert forecast.period(np.cumsum(rng.normal(size=(2000, 1)), 0), 24) == 0
    assert forecast.period(np.ones((50, 1)), 10) == 0


def test_a_season_that_is_said_is_taken_and_one_that_is_too_long_makes_no_bar(tmp_path):
    bar = forecast.seasonal_naive(asked(tmp_path, seasonal(), season=2))
    assert bar is not None and bar.note == "a season of 2 rows"
    assert forecast.seasonal_naive(asked(tmp_path, seasonal(), season=5)) is None


def test_other_tasks_have_none_of_these_bars(tmp_path):
    question = asked(tmp_path, seasonal())._replace(task=Classification())
    for maker in (forecast.last_value, forecast.seasonal_naive, forecast.nlinear, forecast.dlinear):
        assert maker(question) is None


def test_the_mean_season_is_that_of_all_whole_seasons_of_the_window(tmp_path):
    question = asked(tmp_path, seasonal(), look_back=11)  # two whole seasons and three rows before them
    inputs, targets = arrays(question.examples)
    made = (inputs[:, 3:6] + inputs[:, 7:10]) / 2
    bar = forecast.seasonal_mean(question)
    assert bar is not None and "of 2 seasons of 4 rows" in bar.note
    assert bar.metrics["mse"] == pytest.approx(((made - targets) ** 2).mean(), rel=1e-5)
    assert forecast.seasonal_mean(asked(tmp_path, seasonal(), look_back=7)) is None


def test_windows_are_counted_as_windows_and_the_runs_that_stand_for_examples_as_runs(tmp_path):
    asked_for = asked(tmp_path, seasonal())
    windows, runs = len(asked_for.examples), -(-len(asked_for.examples) // HORIZON)
    network = forecast.last_value(asked_for)
    made = bars.beside(asked_for.task, asked_for.dataset, "test", network, 10.0)
    assert made["examples"] == runs < windows  # what is drawn and tested
    assert bars.table(made)[0] == f"on the {windows} test windows in {runs} runs, with intervals of 95 %:"
    assert f", {windows} test windows in {runs} runs" in made["said"]
    assert asked_for.task.counted(4, 4, "test") == "4 test windows"  # of too few to make runs of

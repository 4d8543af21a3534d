"""The published protocol of the electricity transformers, on made rows, and the score that chooses the epoch."""

import dataclasses

import numpy as np
import pytest

import rnnjax
from experiments.ett_forecast import EXPERIMENT
from rnnjax.data.ett import COLUMNS, ROWS, EttData
from rnnjax.errors import DataError, UsageError
from rnnjax.tasks import Forecast


def written(folder, name="ETTh1", columns=COLUMNS, rows=ROWS, minutes=60):
    times = np.datetime64("2016-07-01T00:00", "m") + minutes * np.arange(rows)
    values = np.random.default_rng(0).normal(size=(rows, len(columns))).round(3)
    lines = [
        ",".join((str(time).replace("T", " ") + ":00", *map(str, row)))
        for time, row in zip(times, values.tolist(), strict=True)
    ]
    (folder / f"{name}.csv").write_text("\n".join([",".join(("date", *columns)), *lines]) + "\n")
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ett")
    written(made)
    return made


def test_all_2785_test_windows_count_and_the_first_looks_back_into_validation(folder):
    dataset = EttData(path=str(folder)).load()
    values = written(folder)
    assert dataset.name == "ETTh1"
    assert [len(examples) for examples in dataset.splits().values()] == [8449, 2785, 2785]
    train = values[: 12 * 30 * 24]
    standardised = (values - train.mean(0)) / train.std(0)
    begin = 16 * 30 * 24
    np.testing.assert_allclose(dataset.test["inputs"][0], standardised[begin - 96 : begin], atol=1e-5)
    np.testing.assert_allclose(dataset.test["targets"][-1], standardised[20 * 30 * 24 - 96 : 20 * 30 * 24], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "columns", "rows", "path", "said"),
    [
        ("ETTh2", COLUMNS, ROWS, "ETTh2.csv", "the data asked for are ETTh1"),
        ("ETTh1", COLUMNS, ROWS, "not_there", r"not_there: no such file; ETTh1.csv is in the folder"),
        ("ETTh2", COLUMNS, ROWS, "", r"ETTh1.csv.*no such file|no such file.*ETTh1.csv"),
        ("ETTh1", COLUMNS[:-1], ROWS, "", "its columns are"),
        ("ETTh1", COLUMNS, 500, "", "asks for 14,400 rows, and there are 500"),
    ],
)
def test_another_file_is_refused(name, columns, rows, path, said, tmp_path):
    written(tmp_path, name, columns, rows)
    with pytest.raises(DataError, match=f"(?i){said}"):
        EttData(path=str(tmp_path / path)).load()


def test_quarters_of_an_hour_under_the_name_of_hours_are_refused(tmp_path):
    written(tmp_path, minutes=15)
    with pytest.raises(DataError, match=r"ETTh1.csv: its rows are 15 minutes apart, and those of ETTh1 1 hour"):
        EttData(path=str(tmp_path)).load()


def test_where_no_place_is_named_the_publisher_is():
    with pytest.raises(UsageError, match=r"ETTh2.csv of github.com/zhouhaoyi/ETDataset"):
        EttData(name="ETTh2").load()  # pyright: ignore[reportArgumentType]


def test_another_horizon_has_a_target_of_its_own_or_none():
    assert [EXPERIMENT.variant(name).target.value for name in ("etth1_720", "etth2_96")] == [0.465, 0.297]
    assert EXPERIMENT.with_parts(data=dataclasses.replace(EXPERIMENT.data, horizon=48)).target is None
    assert EXPERIMENT.with_parts(data=dataclasses.replace(EXPERIMENT.data, look_back=336)).target is not None


def test_a_forecast_is_trained_by_one_error_and_chosen_by_another():
    draw = np.random.default_rng(0)
    outputs, targets = draw.normal(size=(2, 5, 3, 2)).astype(np.float32)
    task = Forecast(loss="absolute", score="mse")
    assert (task.headline.name, task.also[0].name) == ("mse", "mae")
    batch = {"targets": targets, "mask": np.ones(5, bool)}
    sums = task.sums(outputs, batch, train=False)
    assert float(sums["loss"]) == pytest.approx(abs(outputs - targets).mean((1, 2)).sum(), rel=1e-5)
    np.testing.assert_allclose(task.keep(outputs, batch)["error"], ((outputs - targets) ** 2).mean((1, 2)), rtol=1e-5)
    assert Forecast().restored(task.to_json()) == task
    assert "score" not in Forecast().to_json()
    with pytest.raises(UsageError, match="score of a forecast is one of"):
        Forecast(score="rmse")  # pyright: ignore[reportArgumentType]


def test_what_it_is_trained_by_is_no_option_of_its_data(capsys):
    assert rnnjax.main(EXPERIMENT, ["train", "--data.loss", "squared"]) == 2
    assert "--data.loss" in capsys.readouterr().err
    asked = EXPERIMENT.with_parts(data=dataclasses.replace(EXPERIMENT.data, quantiles=(0.1, 0.9)))
    assert (EXPERIMENT.task.loss, asked.task.loss) == ("absolute", "pinball")


def test_it_learns_a_daily_wave(tmp_path):
    rows = np.arange(4 * 400)
    wave = np.sin(rows * np.pi / 12)[:, None] * np.ones(7)
    times = np.datetime64("2016-07-01T00", "h") + rows
    lines = [",".join(map(str, (time, *values))) for time, values in zip(times, wave.tolist(), strict=True)]
    (tmp_path / "ETTh1.csv").write_text("\n".join([",".join(("date", *COLUMNS)), *lines]))
    made = dataclasses.replace(
        EXPERIMENT,
        data=EttData(path=str(tmp_path), split="900,300,300", look_back=48, horizon=24),
        model=rnnjax.ForecastModel(features=16, segment=12, dropout=0.0),
        optim=rnnjax.OptimConfig(learning_rate=1e-2),
        train=rnnjax.TrainConfig(epochs=4, steps_per_call=16, log=()),
        bars=True,
    )
    result = rnnjax.fit(made, workdir=tmp_path / "run")
    assert result.headline == result.metrics["test"]["mse"] < 0.1

"""Forecasts: the task against NumPy and scikit-learn, the model against its published rule, and the whole road."""

import csv
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

import rnnjax
from rnnjax import data
from rnnjax.__main__ import main
from rnnjax.data.spec import Shape, Spec
from rnnjax.errors import UsageError
from rnnjax.models.forecast_config import ForecastModel, segment_of
from rnnjax.tasks import Forecast
from rnnjax.testing import check_task
from rnnjax.training.runner import Runner
from tests.marks import LONG
from tests.test_forecast_data import loaded, made, written

RNG = np.random.default_rng(0)
TARGETS = RNG.normal(size=(5, 3, 2)).astype(np.float32)
OUTPUTS = RNG.normal(size=(5, 3, 2)).astype(np.float32)
UNITS = {"columns": ("a", "b"), "mean": (10.0, -5.0), "scale": (3.0, 100.0)}
SPEC = Spec({"inputs": Shape((1, 4, 2), np.dtype(np.float32))}, outputs=3)


def batch(targets=TARGETS, **more):
    return {"targets": targets, "mask": np.ones(len(targets), bool), **more}


def finished(task, outputs, **more):
    totals = jax.tree.map(np.asarray, task.sums(jnp.asarray(outputs), batch(**more), train=False))
    return task.finish(totals), totals


OFTEN = "pinball"  # the richest of the three


@pytest.mark.slow
@pytest.mark.parametrize("loss", [OFTEN, pytest.param("squared", marks=LONG), pytest.param("absolute", marks=LONG)])
def test_it_keeps_what_is_promised_of_tasks(loss):
    task = Forecast(loss=loss, **UNITS)
    outputs = OUTPUTS if loss != "pinball" else RNG.normal(size=(5, 3, 2, 3)).astype(np.float32)
    inputs = RNG.normal(size=(5, 4, 2)).astype(np.float32)
    shown = np.array([1, 0, 2, 3, 4], np.int32)
    checked = check_task(task, outputs, {"targets": TARGETS, "inputs": inputs, "shown": shown}, spec=SPEC)
    assert len(checked) > 5


def test_errors_are_means_over_windows_steps_and_columns_in_standardised_units():
    error = TARGETS - OUTPUTS
    for loss, headline in (("squared", "mse"), ("absolute", "mae")):
        metrics, _ = finished(Forecast(loss=loss, **UNITS), OUTPUTS)
        np.testing.assert_allclose([metrics["mse"], metrics["mae"]], [(error**2).mean(), abs(error).mean()], rtol=1e-6)
        assert metrics["loss"] == pytest.approx(metrics[headline]) and Forecast(loss=loss).headline.name == headline


def test_pinball_loss_is_scikit_learns_and_crossed_quantiles_are_set_right():
    quantiles = np.sort(RNG.normal(size=(5, 3, 2, 3)), -1).astype(np.float32)
    task = Forecast(loss="pinball", quantiles=(0.1, 0.5, 0.9), **UNITS)
    metrics, _ = finished(task, quantiles)
    each = [
        mean_pinball_loss(TARGETS.ravel(), quantiles[..., place].ravel(), alpha=alpha)
        for place, alpha in enumerate(task.quantiles)
    ]
    assert metrics["pinball"] == pytest.approx(np.mean(each), rel=1e-5)
    assert metrics["mae"] == pytest.approx(abs(TARGETS - quantiles[..., 1]).mean(), rel=1e-5)
    inside = (TARGETS >= quantiles[..., 0]) & (TARGETS <= quantiles[..., 2])
    assert metrics["coverage"] == pytest.approx(inside.mean())
    assert finished(task, quantiles[..., ::-1])[0] == metrics
    answers = task.answers(quantiles[..., ::-1], SPEC)
    np.testing.assert_allclose(answers, [[10], [-5]] + np.array([[3], [100]]) * quantiles.astype(float), rtol=1e-6)
    assert list(task.rows(quantiles, SPEC)[0]) == ["a 0.1", "a 0.5", "a 0.9", "b 0.1", "b 0.5", "b 0.9"]


@pytest.mark.parametrize("axis", [False, True])
def test_one_quantile_alone_is_forecast_with_or_without_an_axis_of_its_own(axis):
    task = Forecast(loss="pinball", quantiles=(0.9,), **UNITS)
    outputs = OUTPUTS[..., None] if axis else OUTPUTS
    task.check(outputs, batch())
    metrics, _ = finished(task, outputs)
    assert metrics["pinball"] == pytest.approx(mean_pinball_loss(TARGETS.ravel(), OUTPUTS.ravel(), alpha=0.9), rel=1e-5)
    assert "coverage" not in metrics, "between one quantile and itself there is nothing"
    np.testing.assert_allclose(task.answers(outputs, SPEC)[..., 0], OUTPUTS * [3.0, 100.0] + [10, -5], rtol=1e-6)
    assert list(task.rows(outputs, SPEC)[0]) == ["a 0.9", "b 0.9"]
    with pytest.raises(UsageError, match=r"outputs must be \[5, 3, 2, 1\]"):
        task.check(OUTPUTS[..., None].repeat(2, -1), batch())


def test_the_report_has_errors_by_step_and_column_in_both_units_and_draws_what_it_was_told_to(tmp_path):
    task = Forecast(**UNITS)
    inputs = RNG.normal(size=(5, 4, 2)).astype(np.float32)
    shown = np.array([0, 2, 0, 1, 0], np.int32)
    _, totals = finished(task, OUTPUTS, inputs=inputs, shown=shown)
    np.testing.assert_array_equal(totals["drawn_inputs"][:2], inputs[[3, 1]])
    np.testing.assert_array_equal(totals["drawn_outputs"][:2, ..., 0], OUTPUTS[[3, 1]])
    report = task.report(totals, None, SPEC)
    own = (TARGETS - OUTPUTS) * [3, 100]
    assert report.page["columns"][1]["rmse_in_units"] == pytest.approx((own[..., 1] ** 2).mean() ** 0.5, rel=1e-5)
    assert report.page["columns"][0]["mae_in_units"] == pytest.approx(abs(own[..., 0]).mean(), rel=1e-5)
    np.testing.assert_allclose(report.page["by_step_ahead"]["mse"], ((TARGETS - OUTPUTS) ** 2).mean((0, 2)), rtol=1e-5)
    for name, draw in report.figures.items():
        draw(tmp_path / f"{name}.png", "test")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["forecasts", "horizon"]


def test_windows_are_compared_by_runs_since_neighbours_have_most_rows_in_common():
    kept = Forecast().keep(jnp.asarray(OUTPUTS), batch())
    each = ((TARGETS - OUTPUTS) ** 2).mean((1, 2))
    np.testing.assert_allclose(kept["error"], each, rtol=1e-5)
    assert Forecast().outcomes(kept, SPEC) is None, "two runs tell nothing"
    errors = np.arange(17.0) ** 2
    rows = Forecast().outcomes({"error": errors}, SPEC)
    np.testing.assert_allclose(rows[:, 0], [*errors[:15].reshape(5, 3).mean(1), errors[15:].mean()])
    assert rows[:, 1].tolist() == [3, 3, 3, 3, 3, 2]
    assert Forecast().mistakes(kept, SPEC, 2)[0] == {"row": each.argmax(), "mse": pytest.approx(each.max(), rel=1e-5)}


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"outputs must be \[5, 3, 2\] \(rows, steps ahead, columns\), got \[5, 6\]"):
        Forecast().check(OUTPUTS.reshape(5, 6), batch())
    with pytest.raises(UsageError, match=r"\[5, 3, 2, 3\] .rows, steps ahead, columns, quantiles"):
        Forecast(loss="pinball").check(OUTPUTS, batch())
    with pytest.raises(UsageError, match="quantiles must be rising"):
        Forecast(quantiles=(0.5, 0.1))


@pytest.mark.parametrize(("look_back", "horizon", "segment"), [(10, 7, 4), pytest.param(5, 3, 1, marks=LONG)])
def test_the_model_is_segrnns_published_rule(look_back, horizon, segment):
    """Written from the paper's section 3: the last value subtracted, segments, a GRU, all segments ahead at once."""
    columns, features = 2, 4
    spec = Spec({"inputs": Shape((1, look_back, columns), np.dtype(np.float32))}, outputs=horizon)
    model = ForecastModel(features=features, segment=segment, dropout=0.0).build(spec, horizon)
    x = RNG.normal(size=(3, look_back, columns)).astype(np.float32) + 5
    variables = model.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: leaf + 0.1 * RNG.normal(size=leaf.shape).astype(leaf.dtype), variables)
    parts = jax.tree.map(np.float64, variables["params"])
    gru = rnnjax.GRUCell(features)

    @jax.jit
    def step(carry, inputs):
        cell = {"params": variables["params"]["recurrent"]["cell"]}
        projected = gru.apply(cell, inputs[None].astype(jnp.float32), method="project")
        return gru.apply(cell, carry[None].astype(jnp.float32), projected, method="step")[0][0]

    made = np.zeros((3, horizon, columns))
    for row in range(3):
        for column in range(columns):
            series = x[row, :, column].astype(np.float64)
            above = series - series[-1]
            above = np.concatenate([np.full(-look_back % segment, above[0]), above]).reshape(-1, segment)
            hidden = np.zeros(features)
            for part in above:
                hidden = step(hidden, np.maximum(part @ parts["segments"]["kernel"] + parts["segments"]["bias"], 0))
            ahead = []
            for position in parts["position"]:
                out = step(hidden, np.concatenate([position, parts["column"][column]]))
                ahead.append(out @ parts["head"]["kernel"] + parts["head"]["bias"])
            made[row, :, column] = np.concatenate(ahead)[:horizon] + series[-1]
    np.testing.assert_allclose(model.apply(variables, x), made, rtol=2e-5, atol=2e-5)
    moved = model.apply(variables, x + 7)
    np.testing.assert_allclose(moved, made + 7, rtol=2e-5, atol=2e-5)


def test_segments_are_chosen_by_the_look_back():
    chosen = {rows: segment_of(rows) for rows in (1, 12, 23, 24, 36, 60, 96, 168, 336, 720)}
    assert list(chosen.values()) == [1, 1, 1, 12, 18, 30, 48, 42, 48, 48]
    with pytest.raises(UsageError, match=r"--model.segment must be at most the look-back of 4 rows"):
        ForecastModel(segment=5).build(SPEC, 3)
    with pytest.raises(UsageError, match="reads windows"):
        ForecastModel().build(Spec({"inputs": Shape((1, 4), np.dtype(np.float32))}, outputs=3), 3)


def test_options_of_the_data_say_the_loss():
    from rnnjax.own import FORECASTS

    def asked(**options):
        section = rnnjax.ForecastTable(**options)
        return rnnjax.Experiment(data=section, model=FORECASTS.model, task=FORECASTS.task).task

    assert asked().loss == "squared" and asked(loss="absolute").headline.name == "mae"
    assert asked(quantiles=(0.2, 0.8)) == Forecast(loss="pinball", quantiles=(0.2, 0.8))


SMALL = ["--data.look-back", "8", "--data.horizon", "3", "--model.features", "4", "--train.epochs", "2"]


@pytest.mark.always
def test_one_command_trains_and_the_next_forecasts_the_rows_after_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "t.csv", made(120))
    command = ["forecast", "t.csv", *SMALL, "--data.quantiles", "0.1", "0.5", "0.9"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "62 training, 22 validation, 22 test windows" in shown and "1 minute from row to row" in shown
    root = tmp_path / "runs" / "forecast_table" / "seed-0"
    result = json.loads((root / "result.json").read_text())
    assert result["headline"] == "pinball" and {"mse", "mae", "coverage"} <= set(result["metrics"]["test"])
    assert (root / "forecasts-test.png").is_file() and "columns" in json.loads((root / "report-test.json").read_text())
    assert main(["forecast", "predict", str(root / "samples" / "last-rows.csv")]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["date", "a 0.1", "a 0.5", "a 0.9", "b 0.1", "b 0.5", "b 0.9"]
    assert [row[0] for row in rows[1:]] == [f"2024-01-01 02:0{minute}:00" for minute in range(3)]
    predictor = rnnjax.load(root)
    answers = predictor([made(120)[-20:]])
    np.testing.assert_allclose(np.array(rows[1:])[:, 1:].astype(float).reshape(1, 3, 2, 3), answers, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.long
def test_a_finished_run_is_evaluated_again_and_forecasts_as_json_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "t.csv", made(120))
    assert main(["forecast", "t.csv", *SMALL]) == 0
    assert "the network" in capsys.readouterr().out.splitlines()[-1]
    result = json.loads((tmp_path / "runs" / "forecast_table" / "seed-0" / "result.json").read_text())
    assert main(["forecast", "predict", "--json-lines", "t.csv"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["input"] == "t.csv" and len(said["date"]) == len(said["a"]) == 3
    assert main(["forecast", "evaluate", "--split", "test"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mse"] == pytest.approx(result["metrics"]["test"]["mse"], rel=1e-5)
    written(tmp_path / "new.csv", made(130)[100:])
    assert main(["forecast", "evaluate", "new.csv"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["examples"] == 30 - 8 - 3 + 1 and said["mse"] > 0
    worst = (tmp_path / "runs" / "forecast_table" / "seed-0" / "evaluate-new.csv-mistakes.csv").read_text().splitlines()
    dates = {line.split(",")[0] for line in (tmp_path / "new.csv").read_text().splitlines()[9:]}
    assert {line.split(",")[0].removesuffix(":00") for line in worst[1:]} <= dates
    (tmp_path / "short.csv").write_text("".join((tmp_path / "t.csv").read_text().splitlines(keepends=True)[:6]))
    assert main(["forecast", "predict", "short.csv"]) == 1
    assert "short.csv: 5 rows are too few: the model looks back at 8" in capsys.readouterr().err


def test_what_comes_after_a_window_changes_nothing_of_its_forecast(tmp_path):
    values = made()
    other = values.copy()
    other[34:] = -other[34:]
    model = ForecastModel(features=4, segment=2).build(SPEC, 3)
    before, after = (loaded(tmp_path, rows) for rows in (values, other))
    variables = model.init(jax.random.key(0), before.test["inputs"][:1])
    made_of = [model.apply(variables, one.test["inputs"][:]) for one in (before, after)]
    same = (np.asarray(made_of[0]) == np.asarray(made_of[1])).all((1, 2))
    assert same.tolist() == [True, True, True, False, False, False], "horizons begin in rows 32 to 37"


def test_windows_that_are_streamed_are_those_on_the_devices(tmp_path):
    metrics = []
    for mib in (0, 64):
        section = rnnjax.ForecastTable(
            path=written(tmp_path / "t.csv", made()), look_back=4, horizon=3, batch_size=8, device_budget_mib=mib
        )
        experiment = rnnjax.Experiment(data=section, model=ForecastModel(features=4), task=Forecast())
        program = Runner(experiment, data.load(section))
        metrics.append(program.evaluate(program.create_state(0).variables(), "test"))
    assert metrics[0] == metrics[1] and np.isfinite(metrics[0]["mse"])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_season_is_learned(tmp_path, loss):
    hours = np.arange(600)
    values = np.stack([np.sin(hours * 2 * np.pi / 12), 5 + 3 * np.cos(hours * 2 * np.pi / 12)], 1)
    section = rnnjax.ForecastTable(path=written(tmp_path / "t.csv", values), look_back=24, horizon=12, loss=loss)
    train = rnnjax.TrainConfig(epochs=40)
    optim = rnnjax.OptimConfig(learning_rate=5e-3)
    experiment = rnnjax.Experiment(
        data=section, model=ForecastModel(features=16, dropout=0.0), task=Forecast(), optim=optim, train=train
    )
    result = rnnjax.fit(experiment)
    assert result.metrics["test"]["mse"] < 0.01, "0.5 times the variance is what the mean would have"


@pytest.mark.slow
@pytest.mark.long
def test_weekly_co2_with_its_gaps_is_forecast(tmp_path, monkeypatch, capsys):
    datasets = pytest.importorskip("statsmodels.datasets")
    table = datasets.co2.load_pandas().data
    monkeypatch.chdir(tmp_path)
    table.to_csv("co2.csv", index_label="date")
    options = ["--data.look-back", "104", "--data.horizon", "26", "--model.features", "32", "--train.epochs", "3"]
    assert main(["forecast", "co2.csv", *options]) == 1
    assert "59 of 2,284 cells hold no number, first co2.csv:" in capsys.readouterr().err
    assert main(["forecast", "co2.csv", *options, "--data.missing", "forward"]) == 0
    shown = capsys.readouterr().out
    assert "7 days from row to row" in shown and "59 of 2,284 cells hold no number" in shown
    assert main(["forecast", "predict", "co2.csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 27 and rows[1][0] == "2002-01-05" and 360 < float(rows[1][1]) < 380


def test_data_without_its_columns_may_be_forecast_too():
    """Arrays of one's own as a data set: errors are then in the units of the targets."""
    inputs, targets = RNG.normal(size=(6, 4, 2)).astype(np.float32), np.ones((6, 3, 2), np.float32)
    examples = rnnjax.Examples({"inputs": inputs, "targets": targets})
    dataset = data.Dataset("mine", examples, examples, None, given=SPEC)
    task = Forecast().prepared(dataset, None)
    assert task.columns == ("0", "1") and task.mean == (0.0, 0.0)

"""Windows of a series: what is counted, what standardises them, and that none looks ahead."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax import data
from rnnjax.data import forecasts, preprocess
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.data.series_windows import SeriesWindows
from rnnjax.errors import DataError, UsageError

ETT = Path(os.environ.get("TFDS_DATA_DIR") or "absent").parent / "data" / "ett" / "ETTh1.csv"
ROWS = 40


def made(count=ROWS, columns=2):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, columns)) * [3, 100][:columns] + [10, -5][:columns]


def written(path, values):
    lines = [
        f"2024-01-01 {row // 60:02}:{row % 60:02},{','.join(map(repr, one.tolist()))}" for row, one in enumerate(values)
    ]
    header = ",".join(["date", *"ab"[: values.shape[1]]])
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return str(path)


def loaded(tmp_path, values, **options):
    section = ForecastTable(path=written(tmp_path / "t.csv", values), **{"look_back": 4, "horizon": 3, **options})
    return data.load(section)


def test_every_window_counts_once_and_a_look_back_reaches_into_what_lies_before(tmp_path):
    values = made()
    dataset = loaded(tmp_path, values)
    ends, scale = (24, 32, 40), values[:24].std(0)
    standard = (values - values[:24].mean(0)) / scale
    for name, begin, end in zip(("train", "validation", "test"), (4, 24, 32), ends, strict=True):
        split = dataset.split(name)
        first = range(begin, end - 3 + 1)  # of each horizon
        assert len(split) == len(first)
        for row, start in enumerate(first):
            np.testing.assert_allclose(split["inputs"][row], standard[start - 4 : start], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(split["targets"][row], standard[start : start + 3], rtol=1e-5, atol=1e-6)
    assert any(
        "training: 2024-01-01 00:00:00" in line and "24 rows, 18 windows" in line for line in dataset.understood
    ), dataset.understood
    assert dataset.places is not None
    assert dataset.places()["test"] == [f"2024-01-01 00:{minute}:00" for minute in range(32, 38)]


def test_nothing_of_the_test_rows_is_in_what_is_trained_on(tmp_path):
    values = made()
    other = values.copy()
    other[32:] *= 7
    before, after = loaded(tmp_path, values), loaded(tmp_path, other)
    assert before.preprocess == after.preprocess
    assert before.fingerprint["train"] == after.fingerprint["train"]
    assert before.fingerprint["validation"] == after.fingerprint["validation"]
    assert before.fingerprint["test"] != after.fingerprint["test"]
    other = values.copy()
    other[20:] += 1  # rows that windows before row 20 end at
    changed = loaded(tmp_path, other)
    unscaled = [
        np.asarray(one.train["inputs"][:16]) * one.preprocess.std + one.preprocess.mean for one in (before, changed)
    ]
    np.testing.assert_allclose(*unscaled, rtol=1e-5, atol=1e-4)


def test_rows_of_each_part_can_be_said_and_what_is_left_is_said(tmp_path):
    dataset = loaded(tmp_path, made(), split="20,5,6")
    assert [len(split) for split in dataset.splits().values()] == [14, 3, 4]
    assert any("not used: the last 9 rows" in line for line in dataset.understood)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "30,10,10"}, "asks for 50 rows, and there are 40"),
        ({"split": "6,10,10"}, r"6 of 40 rows are the train part, and one window needs 7 \(4 to look back at, 3 to"),
        ({"test_fraction": 0.05}, "2 of 40 rows are the test part, and 3 are forecast; .* --data.test-fraction"),
        ({"columns": ("date",)}, "has '2024-01-01 00:00'"),
    ],
)
def test_a_series_that_is_too_short_is_refused_with_what_to_do(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, made(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "1,2"}, "--data.split must be three numbers of rows"),
        ({"horizon": 0}, "--data.horizon must be positive"),
        ({"quantiles": (0.9, 0.1)}, "--data.quantiles must be rising"),
        ({"quantiles": (0.1,), "loss": "absolute"}, "--data.quantiles must be left out"),
        ({"validation_fraction": 0.8, "test_fraction": 0.3}, "--data.test-fraction must be such"),
        ({}, "say where your table is"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        ForecastTable(**options).load()


@given(st.integers(1, 60), *[st.none() | st.integers(1, 5)] * 2, *[st.floats(0.05, 0.45)] * 2)
@settings(max_examples=120, deadline=None)
def test_horizons_of_all_parts_together_are_all_rows_after_the_first_look_back(count, look_back, horizon, v, t):
    section = ForecastTable(look_back=look_back, horizon=horizon, validation_fraction=v, test_fraction=t)
    ends = forecasts.bounds(count, section, Path("x"))
    look_back, horizon = forecasts.sizes(section, ends)
    try:
        forecasts.check_sizes(Path("x"), count, ends, look_back, horizon)
    except DataError:
        assert (section.look_back, section.horizon) != (None, None) or min(ends[0] - 1, *np.diff(ends)) < 1
        return
    assert ends[0] < ends[1] < ends[2] == count
    ahead = [set() for _ in ends]
    for part, (begin, end) in enumerate(zip((look_back, *ends), ends, strict=False)):
        for start in range(begin, end - horizon + 1):
            ahead[part] |= set(range(start, start + horizon))
    assert set().union(*ahead) == set(range(look_back, count)) and sum(map(len, ahead)) == count - look_back


def test_a_short_table_is_looked_back_at_less_at_the_defaults_and_a_long_one_is_not(tmp_path):
    dataset = data.load(ForecastTable(path=written(tmp_path / "t.csv", made(60))))
    assert [len(split) for split in dataset.splits().values()] == [16, 7, 7]
    assert "6 rows (6 minutes) are forecast from the 15 (15 minutes) before them" in dataset.understood
    section = ForecastTable()
    assert forecasts.sizes(section, forecasts.bounds(1000, section, Path("x"))) == (96, 24)


def test_windows_are_cut_alike_on_the_host_and_on_a_device_and_held_once():
    series = np.arange(20, dtype=np.float32).reshape(10, 2)
    windows = SeriesWindows(series, np.arange(7, dtype=np.int32), 4)
    whole = np.stack([series[start : start + 4] for start in range(7)])
    assert windows.shape == whole.shape and len(windows) == 7 and windows.nbytes == series.nbytes + 28
    for rows in (slice(2, 5), np.array([[1, 3], [6, 0]]), 4):
        np.testing.assert_array_equal(windows[rows], whole[rows])
    cut = jax.jit(lambda windows, rows: windows[rows])(windows, jnp.array([5, 1]))
    np.testing.assert_array_equal(cut, whole[[5, 1]])
    np.testing.assert_array_equal(windows.select(np.array([3, 1]))[:], whole[[3, 1]])
    assert windows.fingerprint != windows.select(np.arange(6)).fingerprint


def test_a_preprocessing_reads_new_tables_as_training_read_its_own(tmp_path):
    values = made()
    dataset = loaded(tmp_path, values)
    reads = dataset.preprocess
    preprocess.save(reads, tmp_path / "preprocess.json")
    assert preprocess.load(tmp_path / "preprocess.json") == reads
    new = made(9) + 1
    path = tmp_path / "new.csv"
    written(path, new[:, ::-1])
    path.write_text(path.read_text().replace("date,a,b", "date,b,a"))
    labelled = reads.labelled(path)
    assert len(labelled) == 9 - 7 + 1
    np.testing.assert_allclose(labelled["targets"][2], (new[6:9] - reads.mean) / reads.std, rtol=1e-5, atol=1e-5)
    ((name, read),) = reads.read([str(path)], (), None)
    raw = read()
    assert name == str(path) and raw.times == ("2024-01-01 00:09:00", "2024-01-01 00:10:00", "2024-01-01 00:11:00")
    np.testing.assert_allclose(
        reads.encode([raw])["inputs"][0], (new[5:] - reads.mean) / reads.std, rtol=1e-5, atol=1e-5
    )
    row = reads.answered(raw, {"a": [1, 2, 3]})
    assert list(row) == ["date", "a"]
    assert "file" in reads.answered(reads.read([str(path)] * 2, (), None)[0][1](), {})
    for wrong in ({"mean": [1.0]}, {"look_back": 0}, {"step": [0, "months"]}, {"reading": {}}, {"columns": []}):
        (tmp_path / "wrong.json").write_text(json.dumps(reads.to_json() | wrong))
        with pytest.raises(DataError, match="not a readable preprocessing"):
            preprocess.load(tmp_path / "wrong.json")
    with pytest.raises(DataError, match="3 rows are too few"):
        reads.encode([new[:3]])
    with pytest.raises(DataError, match=r"made from .rows, 2., the columns a, b"):
        reads.encode([new[:, :1]])


def test_a_column_that_is_constant_or_huge_is_no_harm(tmp_path):
    values = made()
    values[:, 0] = 5
    values[:, 1] += 1e12
    dataset = loaded(tmp_path, values)
    assert (dataset.train["inputs"][:][..., 0] == 0).all()
    assert abs(np.asarray(dataset.train["inputs"].series[:24, 1]).std() - 1) < 1e-3, "float32 alone would lose it"
    assert any(line == "constant: a" for line in dataset.understood)
    with pytest.raises(DataError, match="too large to be squared"):
        loaded(tmp_path, 1e299 * made())
    values[-1, 1] = 1e300
    with pytest.raises(DataError, match=r"column 'b' holds 1e\+300, which is .* standard deviations from the mean"):
        loaded(tmp_path, values)


def test_a_column_that_is_constant_in_training_alone_is_named(tmp_path):
    """Its errors are divided by no deviation, and may drown those of the others."""
    values = made()
    values[:24, 0] = 5
    said = [line for line in loaded(tmp_path, values).understood if "constant" in line]
    assert said == ["constant in the training rows alone: 'a'; mse and mae of that are in its own units"]
    values[24:, 0] = 5
    assert [line for line in loaded(tmp_path, values).understood if "constant" in line] == ["constant: a"]
    assert not any("constant" in line for line in loaded(tmp_path, made()).understood)


@pytest.mark.skipif(not ETT.is_file(), reason="data/ett/ETTh1.csv is not beside TFDS_DATA_DIR")
def test_etth1_by_the_published_protocol_has_its_windows():
    dataset = data.load(ForecastTable(path=str(ETT), split="8640,2880,2880", horizon=96))
    assert [len(split) for split in dataset.splits().values()] == [8449, 2785, 2785]
    assert dataset.preprocess.columns == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert (
        sum(dataset.plan.evaluate(dataset.test, batch_size=32, steps_per_call=4)[i].examples for i in range(22)) == 2785
    )

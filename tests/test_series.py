"""Tables as series: times in many formats, their order and step, and cells that hold nothing."""

import datetime
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnjax.data import series, times
from rnnjax.data.series import Reading
from rnnjax.data.times import Step
from rnnjax.errors import DataError

HOURS = [datetime.datetime(2024, 2, 28, 22) + datetime.timedelta(hours=h) for h in range(6)]


def read(tmp_path, text, name="table.csv", step=None, **reading):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return series.read(path, Reading(**reading), step)


def table(times, values=None, header="date,x"):
    values = range(len(times)) if values is None else values
    return "\n".join([header, *(f"{time},{value}" for time, value in zip(times, values, strict=True))]) + "\n"


@pytest.mark.parametrize("format", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p"])
def test_times_go_on_in_the_format_of_their_column(tmp_path, format):
    found = read(tmp_path, table([hour.strftime(format) for hour in HOURS]))
    assert found.times.values.tolist() == HOURS and found.step == Step(3_600_000_000, "microseconds")
    after = [(HOURS[-1] + datetime.timedelta(hours=h)).strftime(format) for h in (1, 2)]
    assert found.after(2) == after
    assert "6 rows, " in found.understood[-2] and "1 hour from row to row (column 'date')" in found.understood[-2]


@pytest.mark.parametrize(
    ("given", "step", "after"),
    [
        (["2023-11-30", "2023-12-31", "2024-01-31"], "1 month", ["2024-02-29", "2024-03-31"]),
        (["2023-11-05", "2023-12-05", "2024-01-05"], "1 month", ["2024-02-05", "2024-03-05"]),
        (["2015-01-01", "2016-01-01", "2017-01-01", "2018-01-01"], "1 year", ["2019-01-01", "2020-01-01"]),
        (["2024-01", "2024-02", "2024-03"], "1 month", ["2024-04", "2024-05"]),
        (["2024-02-15", "2024-02-22", "2024-02-29"], "7 days", ["2024-03-07", "2024-03-14"]),
        ([f"2024-01-{day:02}" for day in (4, 5, 8, 9, 10, 11)], "1 weekday", ["2024-01-12", "2024-01-15"]),
        (["1950", "1951", "1952"], "1", ["1953", "1954"]),
        (["0.1", "0.2", "0.3", "0.4"], "0.1", ["0.5", "0.6"]),
        (["31/01/2024", "01/02/2024", "02/02/2024"], "1 day", ["03/02/2024", "04/02/2024"]),
        (["2024-03-01 00:00:00.250", "2024-03-01 00:00:00.500"], "0.25 seconds", ["2024-03-01 00:00:00.750000"]),
        (["2024-03-01T00:00:00+01:00", "2024-03-01T01:00:00+02:00", "2024-03-01T00:00:00Z"], None, None),
    ],
)
def test_the_step_is_found_and_goes_on_over_months_ends(tmp_path, given, step, after):
    if step is None:
        with pytest.raises(
            DataError, match="stands here and in"
        ):  # an hour that a change of the clocks repeats is none
            read(tmp_path, table(given))
        return
    found = read(tmp_path, table(given))
    assert found.step.times(1) == step
    shown = found.after(2)[: len(after)]
    assert [text.replace(".750000", ".750") for text in shown] == [text.replace(".750000", ".750") for text in after]


def test_days_before_months_are_told_by_the_order_or_asked_for(tmp_path):
    quarters = read(tmp_path, table([f"01/{month:02}/{year}" for year in (2023, 2024) for month in (1, 4, 7, 10)]))
    assert (quarters.step.times(1), str(quarters.times.values[1])[:10]) == ("3 months", "2023-04-01")
    for either in (
        ["01/02/2024"],
        ["01/02/2024", "02/02/2024", "03/02/2024"],
        [f"01/{n:02}/2024" for n in range(1, 13)],
    ):
        with pytest.raises(DataError, match=r"may be in the format .*; say which by --data.time-format"):
            read(tmp_path, table(either))  # days of a month, or months
    assert read(tmp_path, table(["01/02/2024"]), time_format="%m/%d/%Y").time(0) == "01/02/2024"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(["2024-01-01", "2024-01-03", "2024-01-02"]), r"table.csv:4: 2024-01-02 stands after 2024-01-03; sort"),
        (table(["2024-01-01", "2024-01-01"]), r"table.csv:3: the time 2024-01-01 stands here and in .*table.csv:2"),
        (
            table(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-06"]),
            r"table.csv:5: .* where the step is 1 day; 2 rows in all are missing: .*--data.gaps forward",
        ),
        (
            table(["2024-01-01", "2024-01-02", "2024-01-03 07:00", "2024-01-04"]),
            r"usual step is .*: times are not evenly",
        ),
        (table(["2024-01-01", "later"]), r"table.csv:3: column 'date' has 'later', which is no time in the format"),
        (table(["2024-01-01", ""]), r"table.csv:3: there is no time in column 'date'"),
        (table(["Monday", "Tuesday"]), r"table.csv:2: column 'date' has 'Monday', .*--data.time-format"),
        (table(["2024-01-01", "2024-01-02"], [1, ""]), r"1 of 2 cells hold no number, first .*table.csv:3, column 'x'"),
        (table(["2024-01-01", "2024-01-02"], [1, "inf"]), r"table.csv:3: column 'x' has 'inf', which is no finite"),
        (table(["2024-01-01", "2024-01-02", "2024-01-03"], [1, "abc", 2]), r"table.csv:3: column 'x' has 'abc'"),
        ("date;x\n2024-01-01;1,5\n2024-01-02;2,25\n", r"no column holds numbers to forecast"),
        ("date,x\n2024-01-01,a\n2024-01-02,b\n", r"no column holds numbers to forecast; it has 'date', 'x'"),
    ],
)
def test_what_is_no_series_is_refused_with_its_line_and_what_to_do(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_gaps_and_empty_cells_are_filled_by_the_row_before_and_counted(tmp_path):
    days = ["2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06"]
    found = read(tmp_path, table(days, [1, 2, "", "?"]), gaps="forward", missing="forward")
    assert found.values[:, 0].tolist() == [1, 2, 2, 2, 2, 2]
    assert [found.time(row) for row in range(6)] == [f"2024-01-0{day}" for day in range(1, 7)]
    said = " ".join(found.understood)
    assert "2 rows that are missing were filled" in said and "2 of 6 cells hold no number" in said
    found = read(tmp_path, table(days, ["", 2, 3, 4]), gaps="keep", missing="forward")
    assert found.values[:, 0].tolist() == [2, 3, 4] and found.time(0) == "2024-01-02"
    assert "1 of 3 steps are not the usual one of 1 day" in " ".join(found.understood)
    assert "the first 1 rows were left out" in " ".join(found.understood)


def test_the_newest_row_may_stand_first(tmp_path):
    found = read(tmp_path, table(["2024-01-03", "2024-01-02", "2024-01-01"], [3, 2, 1]))
    assert found.values[:, 0].tolist() == [1, 2, 3] and found.time(0) == "2024-01-01"


def test_columns_are_those_of_numbers_and_the_others_are_said(tmp_path):
    text = ",city,when,b,a\n0,Rome,2024-01-01,1,5\n1,Rome,2024-01-02,2,6\n"
    found = read(tmp_path, text)
    assert found.reading.columns == ("b", "a") and found.reading.time_column == "when"
    assert any("'city' (no numbers)" in line and "(numbers of rows)" in line for line in found.understood)
    assert read(tmp_path, text, columns=("a",)).values.tolist() == [[5], [6]]
    with pytest.raises(DataError, match="there is no column 'c'; its columns are"):
        read(tmp_path, text, columns=("c",))


def test_without_times_rows_are_equal_steps(tmp_path):
    found = read(tmp_path, "year,month,x\n2024,1,5\n2024,2,6\n2024,3,8\n")
    assert found.reading.time_column == "month", "years repeat, and months rise"
    found = read(tmp_path, "x\n5\n6\n", "plain.csv")
    assert found.times is None and found.after(2) == ["3", "4"] and found.time(0) == "row 1"
    assert any("rows are taken as equal steps" in line for line in found.understood)


def test_json_lines_are_read_alike(tmp_path):
    rows = [{"date": f"2024-01-0{day}", "x": day / 2, "name": "a"} for day in range(1, 4)]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), "table.jsonl")
    assert found.values[:, 0].tolist() == [0.5, 1, 1.5] and found.reading.columns == ("x",)


def test_another_table_must_have_the_step_of_the_training(tmp_path):
    days = ["2024-01-01", "2024-01-02", "2024-01-03"]
    hour = Step(3_600_000_000, "microseconds")
    with pytest.raises(DataError, match="rows are 1 day apart, and the model was trained on rows 1 hour apart"):
        read(tmp_path, table(days), step=hour)
    with pytest.raises(DataError, match="its times are numbers, and the model was trained on dates"):
        read(tmp_path, table(["1", "2"]), step=hour)
    found = read(tmp_path, table(["2024-01-31", "2024-02-29"]), step=Step(1, "months"))
    assert found.after(1) == ["2024-03-31"], "of two rows alone, 29 days would be the step"


@pytest.mark.parametrize("gaps", ["refuse", "forward", "keep"])
@pytest.mark.parametrize("hours", [0.25, 24])
def test_rows_of_another_step_are_refused_whatever_becomes_of_gaps(tmp_path, gaps, hours):
    hour, begin = Step(3_600_000_000, "microseconds"), datetime.datetime(2024, 1, 1)
    every = [str(begin + n * datetime.timedelta(hours=hours)) for n in range(9)]
    shown = {0.25: "15 minutes", 24: "1 day"}[hours]
    for rows in (every, every[:4] + every[5:]):  # also where one of their own is missing
        with pytest.raises(DataError, match=f"rows are {shown} apart, and the model was trained on rows 1 hour apart"):
            read(tmp_path, table(rows), gaps=gaps, step=hour)


def test_rows_that_were_taken_as_equal_steps_may_be_any_time_apart_again(tmp_path):
    second, begin = Step(1_000_000, "microseconds"), datetime.datetime(2024, 1, 1)
    uneven = [str(begin + datetime.timedelta(seconds=n * n / 7)) for n in range(9)]
    for rows in (uneven, [str(begin), str(begin + datetime.timedelta(days=3))]):
        assert len(read(tmp_path, table(rows), gaps="keep", step=second).values) == len(rows)


@pytest.mark.parametrize(
    ("days", "after"),
    [
        (
            [f"2022-{month:02}-28" for month in range(3, 13)] + ["2023-01-28", "2023-02-28"],
            ["2023-03-28", "2023-04-28"],
        ),
        (["2022-12-31", "2023-01-31", "2023-02-28"], ["2023-03-31", "2023-04-30"]),
        (["2023-03-30", "2023-04-30", "2023-05-30", "2023-06-30"], ["2023-07-30", "2023-08-30"]),
        (["2022-12-30", "2023-03-30", "2023-06-30"], ["2023-09-30", "2023-12-30"]),
        (["2019-02-28", "2020-02-28", "2021-02-28"], ["2022-02-28", "2023-02-28", "2024-02-28"]),
        (["2019-02-28", "2020-02-29", "2021-02-28"], ["2022-02-28", "2023-02-28", "2024-02-29"]),
    ],
)
def test_months_go_on_at_their_ends_only_where_all_rows_stand_at_one(tmp_path, days, after):
    assert read(tmp_path, table(days)).after(len(after)) == after


def test_a_month_that_is_missing_has_the_day_of_the_others(tmp_path):
    days = ["2022-12-28", "2023-01-28", "2023-02-28", "2023-04-28", "2023-05-28"]
    found = read(tmp_path, table(days), gaps="forward")
    assert [found.time(row) for row in range(6)] == [*days[:3], "2023-03-28", *days[3:]]
    found = read(tmp_path, table(["2023-01-30", "2023-02-28"]), step=Step(1, "months"))
    assert found.after(3) == ["2023-03-30", "2023-04-30", "2023-05-30"], "February is no longer than that"


def test_a_column_of_infinite_numbers_counts_nothing(tmp_path):
    with pytest.raises(DataError, match=r"table\.csv"):
        read(tmp_path, "a,b\n,inf\n,inf\n")


def test_months_may_be_written_without_a_mark(tmp_path):
    months = [f"{year}{month:02}" for year in (2022, 2023) for month in range(1, 13)]
    found = read(tmp_path, table(months))
    assert found.step == Step(1, "months") and found.after(2) == ["202401", "202402"]
    assert found.time(12) == "202301"
    old = read(tmp_path, table([f"0850{month:02}" for month in range(1, 13)]), time_format="%Y%m")
    assert old.step == Step(1, "months"), "where the format is said, in any year"


@pytest.mark.parametrize("first", [2024101, 9991, 202401, 20240101, 160001])
def test_numbers_that_go_on_by_one_are_no_dates_beyond_the_days_and_months_that_there_are(first):
    """2024110 would be the tenth of January, if digits might be left out."""
    found = times.parsed([str(first + n) for n in range(40)], [str(n) for n in range(40)], "t")
    assert found.format == times.NUMBER and times.step_of(found.values)[0] == Step(1)


def test_rows_without_times_keep_their_numbers_where_the_first_are_left_out(tmp_path):
    found = read(tmp_path, "a,b\n,1\n,2\n3,3\n5,4\n6,5\n", missing="forward")
    assert found.values.tolist() == [[3, 3], [5, 4], [6, 5]]
    assert [found.time(row) for row in range(3)] == ["row 3", "row 4", "row 5"] and found.after(2) == ["6", "7"]


@pytest.mark.parametrize("step", [0.1, 1e-12, 1e-200, 5e-324])
def test_steps_between_times_that_are_numbers_may_be_tiny(step):
    found, apart = times.step_of(np.arange(1, 6) * step)
    np.testing.assert_allclose(found.count, step, rtol=1e-6)
    assert (apart == 1).all()
    np.testing.assert_allclose(times.continued(5 * step, found, 2), np.array([6, 7]) * step, rtol=1e-6)


@given(
    st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    st.integers(1, 10**7),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S"]),
)
@settings(max_examples=60, deadline=None)
def test_times_that_are_written_are_read_again(begin, seconds, format):
    every = [begin + n * datetime.timedelta(seconds=seconds) for n in range(4)]
    found = times.parsed([time.strftime(format) for time in every], list("abcd"), "t")
    assert found.values.tolist() == every
    step, apart = times.step_of(found.values)
    assert (apart == 1).all()
    assert times.continued(found.values[0], step, 3).tolist() == every[1:] or step.unit == "months"


CELLS = st.one_of(
    st.sampled_from(
        ["", "1", "2.5", "-3e8", "nan", "inf", "?", "abc", "2024-01-01", "2024-01-02", "1,5", '"', "\0", "a\nb"]
    ),
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**30), 10**30).map(str),
    st.text(max_size=5),
)


@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["refuse", "forward"]),
    st.sampled_from(["refuse", "forward", "keep"]),
)
@settings(max_examples=150, deadline=None)
def test_of_odd_tables_nothing_comes_but_a_series_or_our_own_error(tmp_path_factory, rows, delimiter, missing, gaps):
    path = tmp_path_factory.getbasetemp() / "odd.csv"
    path.write_bytes("\n".join(delimiter.join(row) for row in rows).encode("utf-8", "surrogatepass"))
    try:
        found = series.read(path, Reading(missing=missing, gaps=gaps))
    except DataError as error:
        assert "odd.csv" in str(error)
    else:
        assert np.isfinite(found.values).all() and len(found.values)
        assert len(found.after(3)) == 3


@pytest.mark.parametrize("minutes", [60, 30])
def test_where_clocks_are_set_back_it_is_said_what_to_do(tmp_path, minutes):
    step = datetime.timedelta(minutes=minutes)
    every = [datetime.datetime(2024, 10, 24, tzinfo=datetime.UTC) + n * step for n in range(200)]
    local = [(time + datetime.timedelta(hours=1 + (time.day < 27))).replace(tzinfo=None) for time in every]
    with pytest.raises(DataError, match=r"if the clocks were set back there, write times with their offset"):
        read(tmp_path, table(local))
    found = read(tmp_path, table(local), time_column="")
    assert len(found.values) == len(every) and found.times is None
    shown = [f"{time}+0{1 + (utc.day < 27)}:00" for time, utc in zip(local, every, strict=True)]
    assert read(tmp_path, table(shown)).step.times(1) == f"{minutes} minutes".replace("60 minutes", "1 hour")
    with pytest.raises(DataError) as refused:
        read(tmp_path, table([*local[:40], *local[:40]]))
    assert "offset" not in str(refused.value), "two series are none that went back an hour"


def test_times_in_microseconds_are_written_with_all_their_digits_and_longer_ones_are_refused(tmp_path):
    found = read(tmp_path, table([str(1700000000123456 + n * 60_000_000) for n in range(5)]))
    assert found.after(2) == ["1700000300123456", "1700000360123456"]
    assert found.step.times(1) == "60000000"
    with pytest.raises(DataError, match=r"table.csv:2: column 'date' has 1700000000000000001, of more digits"):
        read(tmp_path, table([str(1700000000000000001 + n) for n in range(5)]))


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "__index_level_0__"])
def test_an_index_of_pandas_is_not_forecast_also_where_rows_were_taken_out_before(tmp_path, name):
    lines = [f"{2 * n + 5},2024-01-{n:02},{n % 7}.5" for n in range(1, 21)]
    found = read(tmp_path, "\n".join([f"{name},date,x", *lines]) + "\n")
    assert found.reading.columns == ("x",)
    assert any("numbers of rows" in line for line in found.understood)


def test_of_a_comma_it_is_said_what_it_may_part(tmp_path):
    with pytest.raises(
        DataError, match=r"'x' \(numbers; write no signs between thousands, 1234, and decimals with a point"
    ):
        read(tmp_path, table(["2024-01-01", "2024-01-02"], ['"1,234"', '"2,345,678.5"']))


def test_where_no_column_has_numbers_it_is_said_why_of_each(tmp_path):
    with pytest.raises(DataError, match=r"'x' \(numbers with a comma; write a point\), 'city' \(no numbers\)"):
        read(tmp_path, "date;x;city\n2024-01-01;1,5;Rome\n2024-01-02;n/a;Rome\n")

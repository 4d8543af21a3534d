"""A user's own numeric sequences, read from every layout: values, targets, splits, statistics, and refusals."""

import datetime
import io
import json
import re
import struct
import zipfile

import numpy as np
import pytest
from scipy.io import wavfile

from rnnjax import data
from rnnjax.data import sequence_reading, wav_files
from rnnjax.data.sequence_preprocess import SequencePreprocess
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import DataError, UsageError
from tests import sequences_made as made
from tests.sequences_made import COUNT, NAMES, SERIES


def loaded(path, **options):
    return data.load(SequenceTable(path=str(path), batch_size=4, **options))


def values(dataset) -> list[np.ndarray]:
    """The sequences of all splits in the data's own units, without their padding."""
    pre, rows = dataset.preprocess, []
    for split in dataset.splits().values():
        for row, length in zip(split["inputs"], split.lengths, strict=True):
            rows.append(row[:length, : len(pre.channels)] * np.array(pre.std) + np.array(pre.mean))
    return rows


def same_sequences(dataset, wanted) -> None:
    """Compares as sets, since the splits are cut at random."""
    found = sorted(values(dataset), key=lambda rows: (len(rows), *rows[0]))
    wanted = sorted(wanted, key=lambda rows: (len(rows), *rows[0]))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


LAYOUTS = {
    "long": lambda folder: made.long_table(folder / "long.csv"),
    "class folders of tables": lambda folder: made.class_folders(folder / "f", ".csv"),
    "class folders of arrays": lambda folder: made.class_folders(folder / "f", ".npy"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_sequences_with_their_classes(layout, tmp_path):
    dataset = loaded(LAYOUTS[layout](tmp_path))
    same_sequences(dataset, SERIES)
    assert dataset.spec.names == NAMES
    assert dataset.target == "class"
    assert sum(map(len, dataset.splits().values())) == COUNT
    for split in dataset.splits().values():  # the classes were made 5 apart
        high = [split["inputs"][row, : split.lengths[row], 0].mean() > 0 for row in range(len(split))]
        np.testing.assert_array_equal(split["labels"], np.array(high, int))


@pytest.mark.parametrize("written", ["%d.%m.%Y %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M+02:00", "%m/%d/%Y", "%d/%m/%Y"])
def test_steps_are_in_the_order_of_their_dates_in_whatever_format(written, tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    header, *rows = [line.split(",") for line in path.read_text().splitlines()]
    days = [datetime.datetime(2023, 12, 28) + datetime.timedelta(days=int(row[1])) for row in rows]
    lines = [[row[0], day.strftime(written), *row[2:]] for row, day in zip(rows, days, strict=True)]
    path.write_text("\n".join(map(",".join, [header, *lines])) + "\n")
    if written.startswith("%d/"):  # 01/01 is in either order, and others tell
        assert {day.day for day in days} > {28, 1}
    dataset = loaded(path)
    same_sequences(dataset, SERIES)
    if "-" not in written:
        assert dataset.preprocess.reading.time_format == written
    pre = SequencePreprocess.from_json(json.loads(json.dumps(dataset.preprocess.to_json())))
    path.write_text("\n".join(map(",".join, [header, *lines[:1]])) + "\n")
    assert len(pre.read([str(path)], [], None)) == 1, "a date alone is read as those of training"


def test_times_that_are_numbers_are_no_dates_and_a_column_of_times_may_be_none(tmp_path):
    path = tmp_path / "long.csv"
    rows = [f"s{n},{20231231 - t},{10 * n + t},{NAMES[n % 2]}" for n in range(COUNT) for t in range(4)]
    path.write_text("\n".join(["id,time,x,label", *rows]) + "\n")
    assert all(np.diff(steps[:, 0]).max() < 0 for steps in values(loaded(path)))
    assert all(np.diff(steps[:, 0]).min() > 0 for steps in values(loaded(path, time_column="", value_columns=("x",))))


def test_a_wide_table_has_a_row_a_sequence_that_ends_at_its_empty_cells(tmp_path):
    dataset = loaded(made.wide_table(tmp_path / "wide.csv"))
    same_sequences(dataset, [steps[:, :1] for steps in SERIES])
    assert dataset.preprocess.missing == ()
    assert any("end before the last column" in line for line in dataset.understood)


def ucr_file(path, name="{}", header=""):
    """As the UCR archive has it: no names, the class first, then values, in an exponent's form."""
    rows = [[name.format(2 * (n % 3) - 1), *(f"{v:.7e}" for v in SERIES[n][:4, 0] * (n + 1))] for n in range(COUNT)]
    path.write_text(header + "".join("\t".join(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("header", [True, False])
def test_another_wide_table_may_have_more_steps_and_where_columns_have_names_fewer(header, tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 9)).round(3) + 0.0005

    def written(name, steps, label=True):
        lines = [["label", *(f"t{t}" for t in range(steps))][not label :]] if header else []
        lines += [[n % 2, *values[n, :steps]][not label :] for n in range(12)]
        (tmp_path / name).write_text("\n".join(",".join(map(str, line)) for line in lines))
        return tmp_path / name

    def answered(preprocess, path):
        return [np.squeeze(read()) for _, read in preprocess.read([str(path)], [], None)]

    preprocess = loaded(written("seven.csv", 7), target="class").preprocess
    longer = written("nine.csv", 9)
    np.testing.assert_array_equal(answered(preprocess, longer), values)
    assert preprocess.labelled(longer).lengths.tolist() == [9] * 12
    tested = loaded(tmp_path / "seven.csv", target="class", test_path=str(longer))
    assert (tested.train.lengths.max(), tested.test.lengths.max()) == (7, 9)
    shorter = written("five.csv", 5)
    if header:
        np.testing.assert_array_equal(answered(preprocess, shorter), values[:, :5])
        np.testing.assert_array_equal(answered(preprocess, written("none.csv", 9, label=False)), values)
        said = loaded(tmp_path / "seven.csv", target="class", value_columns=("t0", "t1", "t2")).preprocess
        np.testing.assert_array_equal(answered(said, longer), values[:, :3])
    else:
        with pytest.raises(DataError, match="no column 'column7'"):
            answered(preprocess, shorter)


def test_a_table_of_the_ucr_archive_has_the_class_in_its_first_column(tmp_path):
    dataset = loaded(ucr_file(tmp_path / "A_TRAIN.tsv"))
    assert (dataset.target, dataset.spec.names) == ("class", ("-1", "1", "3"))
    same_sequences(dataset, [SERIES[n][:4, :1] * (n + 1) for n in range(COUNT)])
    for line in (
        "(the first line is a row of data)",
        "no column has a name: the first, 3 different",
    ):
        assert any(line in one for one in dataset.understood)
    new = dataset.preprocess.labelled(ucr_file(tmp_path / "A_TEST.tsv"))
    np.testing.assert_array_equal(new["labels"], np.arange(COUNT) % 3)
    as_number = loaded(tmp_path / "A_TEST.tsv", target="number")
    assert (as_number.target, as_number.spec.outputs) == ("number", 1)
    last = loaded(tmp_path / "A_TEST.tsv", label_column=("column5",))
    assert (last.target, last.preprocess.reading.value_columns[0]) == ("number", "column1")
    assert {round(float(steps[0, 0])) for steps in values(last)} == {-1, 1, 3}, "the first column is a step"


@pytest.mark.parametrize(("name", "header"), [("a{}", ""), ("0.{}", ""), ("{}", "kind\tw\tx\ty\tz\n")])
def test_a_first_column_of_names_or_fractions_or_with_a_name_is_no_class_by_itself(name, header, tmp_path):
    with pytest.raises(DataError, match=r"no column is called label or .*--data.label-column"):
        loaded(ucr_file(tmp_path / "A.tsv", name, header))


def test_the_mean_and_deviation_are_those_of_the_real_steps_of_training_alone(tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    dataset = loaded(path)
    steps = np.concatenate(values(dataset)[: len(dataset.train)])
    np.testing.assert_allclose(dataset.preprocess.mean, steps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(dataset.preprocess.std, steps.std(0), rtol=1e-5)
    ts = made.ts_file(tmp_path / "A_TRAIN.ts", range(16))
    made.ts_file(tmp_path / "A_TEST.ts", range(16, COUNT))
    before = loaded(ts).preprocess
    other = (tmp_path / "A_TEST.ts").read_text().replace(str(SERIES[16][0, 0]), "1e6")
    (tmp_path / "A_TEST.ts").write_text(other)
    assert loaded(ts).preprocess == before, "test values changed a statistic of training"


def test_missing_values_are_the_mean_and_an_input_says_so(tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    lines = path.read_text().splitlines()
    for row in range(1, len(lines), 5):
        cells = lines[row].split(",")
        lines[row] = ",".join([*cells[:2], ("", "NaN", "?", "null")[row % 4], *cells[3:]])
    path.write_text("\n".join(lines) + "\n")
    dataset = loaded(path)
    assert dataset.preprocess.missing == (0,)
    assert dataset.spec.inputs["inputs"].shape[-1] == 3
    absent = sum(int(split["inputs"][..., 2].sum()) for split in dataset.splits().values())
    assert absent == len(range(1, len(lines), 5))
    for split in dataset.splits().values():
        assert not split["inputs"][..., 0][split["inputs"][..., 2] > 0].any()
    raw = np.array([[1.0, 2.0], [np.nan, 3.0]])
    row = dataset.preprocess.encode([raw])["inputs"][0, :2]
    assert row[1, 0] == 0
    np.testing.assert_array_equal(row[:, 2], [0, 1])
    np.testing.assert_allclose(row[0, :2], (raw[0] - dataset.preprocess.mean) / dataset.preprocess.std, rtol=1e-5)


def test_other_data_are_normalised_by_the_statistics_of_the_training(tmp_path):
    """As the same file is when it is read as new data, whatever its own mean and deviation."""

    def written(name, scale, shift):
        lines = [
            f"s{n},{t},{scale * x + shift:.6f},{'' if (n + t) % 4 == 0 else y},{NAMES[n % 2]}"
            for n, steps in enumerate(SERIES)
            for t, (x, y) in enumerate(steps)
        ]
        (tmp_path / name).write_text("\n".join(["id,time,x,y,label", *lines]) + "\n")
        return tmp_path / name

    trained = loaded(written("one.csv", 1, 0)).preprocess
    other = loaded(path := written("other.csv", 3, -70))
    assert trained.reads_alike(other.preprocess) and other.preprocess.mean[0] < -50 and trained.missing == (1,)
    adopted, new = trained.adopted(other), trained.labelled(path)
    assert adopted.preprocess == trained
    rows = {place: number for number, place in enumerate(new.places)}
    for split, places in other.places().items():
        made, wanted = adopted.split(split), [rows[place] for place in places]
        np.testing.assert_array_equal(made.lengths, new.lengths[wanted])
        np.testing.assert_allclose(made["inputs"], new["inputs"][wanted], atol=1e-5)


def test_a_ts_file_is_read_with_the_test_file_beside_it(tmp_path):
    train = made.ts_file(tmp_path / "A_TRAIN.ts", range(16))
    made.ts_file(tmp_path / "A_TEST.ts", range(16, COUNT))
    dataset = loaded(train)
    assert (len(dataset.test), len(dataset.train) + len(dataset.validation)) == (COUNT - 16, 16)
    wanted = [steps.copy() for steps in SERIES]
    wanted[3][0, 0] = dataset.preprocess.mean[0]  # the missing one
    same_sequences(dataset, wanted)
    np.testing.assert_array_equal(dataset.test["labels"], np.arange(16, COUNT) % 2)
    assert loaded(tmp_path).fingerprint == dataset.fingerprint


def test_recordings_in_a_zip_keep_speakers_together_and_hold_one_out(tmp_path):
    dataset = loaded(made.wav_zip(tmp_path / "r.zip"), name_pattern="{label}_{group}_{number}", hold_out=("cy",))
    assert len(dataset.test) == 6
    assert len(dataset.validation) == 6, "one more speaker, whole"
    assert any(line == "groups in test: cy (6)" for line in dataset.understood)
    assert dataset.train["inputs"].dtype == np.int16
    arguments = dataset.preprocess.on_device({n: dataset.train[n] for n in ("inputs",)})
    real = np.arange(dataset.train["inputs"].shape[1]) < dataset.train.lengths[:, None]
    features = np.asarray(arguments["inputs"])[real]
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(features.std(0), 1, atol=1e-2)


def test_a_pattern_may_name_the_folders_that_files_lie_in(tmp_path):
    with zipfile.ZipFile(made.wav_zip(tmp_path / "r.zip")) as file:
        for name in [name for name in file.namelist() if name.startswith("recordings/")]:
            label, speaker, number = name.rpartition("/")[2].split("_")
            place = tmp_path / "by" / speaker / f"{label}_{number}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read(name))
    held = {"hold_out": ("cy",)}
    flat = loaded(tmp_path / "r.zip", name_pattern="{label}_{group}_{number}", **held)
    dataset = loaded(tmp_path / "by", name_pattern="{group}/{label}_{number}", **held)
    assert "groups in test: cy (6)" in dataset.understood
    assert sorted(dataset.test["labels"]) == sorted(flat.test["labels"])
    new = sequence_reading.read_new(tmp_path / "by" / "cy", dataset.preprocess.reading)  # the folder of one speaker
    assert [one.labels for one in new.series] == [("calm",)] * 3 + [("wild",)] * 3
    with pytest.raises(
        DataError, match=r"its name 'calm_12' is not of --data.name-pattern \{group\}/\{label\}_\{number"
    ):
        loaded(tmp_path / "by" / "cy", name_pattern="{group}/{label}_{number}")


def test_groups_that_the_data_themselves_have_in_two_splits_are_named(tmp_path):
    with zipfile.ZipFile(made.wav_zip(tmp_path / "r.zip")) as file:
        for name in [name for name in file.namelist() if name.startswith("recordings/")]:
            split = "test" if re.search(r"_cy_|_(0|6|18)\.wav", name) else "train"
            place = tmp_path / "split" / split / name.rpartition("/")[2]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read(name))
    lines = loaded(tmp_path / "split", name_pattern="{label}_{group}_{number}").understood
    assert "groups in test: ann (1), bob (1), cy (6), di (1)" in lines
    (held,) = {"ann", "bob", "di"} & set(re.findall(r"\w+", next(line for line in lines if "in validation:" in line)))
    trained = ", ".join(sorted({"ann", "bob", "di"} - {held}))
    assert [line for line in lines if "trained on" in line] == [
        f"groups in test that are trained on too, as the data are split: {trained}"
    ]


def test_silent_recordings_are_named(tmp_path):
    for n, steps in enumerate(made.SERIES):
        folder = tmp_path / "r" / made.NAMES[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n}.wav").write_bytes(made.wav_bytes(steps[:, 0]))
    header = (silent := tmp_path / "r" / made.NAMES[1] / "5.wav").read_bytes()[:44]
    silent.write_bytes(header + bytes(silent.stat().st_size - 44))
    lines = loaded(tmp_path / "r").understood
    assert any(re.fullmatch(r"1 of \d+ recordings silent from end to end: .*5\.wav", line) for line in lines)
    silent.unlink()
    assert not any("silent" in line for line in loaded(tmp_path / "r").understood)


def test_a_held_out_speaker_of_one_class_is_named(tmp_path):
    """The accuracy would be that of whoever always answers so."""
    whole, left = made.wav_zip(tmp_path / "r.zip"), tmp_path / "left.zip"
    with zipfile.ZipFile(whole) as file, zipfile.ZipFile(left, "w") as kept:
        for name in file.namelist():
            if not name.startswith(f"recordings/{made.NAMES[1]}_cy"):
                kept.writestr(name, file.read(name))
    notes = loaded(left, name_pattern="{label}_{group}_{number}", hold_out=("cy",)).notes
    assert f"test has {made.NAMES[0]!r} alone, of 2 classes: whoever always answers that is right there" in notes
    assert loaded(whole, name_pattern="{label}_{group}_{number}", hold_out=("cy",)).notes == ()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_of_every_width_are_read_alike(width, channels):
    wanted, _ = wav_files.read(made.wav_bytes(SERIES[0]), "a")
    samples, rate = wav_files.read(made.wav_bytes(SERIES[0], channels=channels, width=width), "a")
    assert (samples.dtype, rate, len(samples)) == (np.int16, 8000, len(wanted))
    np.testing.assert_allclose(samples, wanted, atol=256 if width == 1 else 0)


@pytest.mark.parametrize("width", [2, 4])
def test_recordings_whose_header_is_extensible_are_read_as_scipy_reads_them(width):
    """As recorders write those of more than 16 bits or two channels; floating-point ones are refused."""
    plain = made.wav_bytes(SERIES[0], channels=2, width=width)
    kind = bytes.fromhex("0100000000001000800000aa00389b71")
    extension = struct.pack("<HHI", 22, 8 * width, 3) + kind
    header = b"fmt " + struct.pack("<IH", 40, 0xFFFE) + plain[22:36] + extension
    body = b"WAVE" + header + plain[36:]
    file = b"RIFF" + struct.pack("<I", len(body)) + body
    samples, rate = wav_files.read(file, "a.wav")
    theirs_rate, theirs = wavfile.read(io.BytesIO(file))
    assert rate == theirs_rate
    np.testing.assert_array_equal(samples, np.round((theirs >> 8 * (width - 2)).mean(1)))
    with pytest.raises(DataError, match=r"a\.wav: not a WAV file that can be read .*ffmpeg"):
        wav_files.read(file.replace(kind, b"\x03" + kind[1:]), "a.wav")


def test_files_beside_a_table_of_labels_have_its_labels_and_groups(tmp_path):
    for n, steps in enumerate(SERIES):
        made.one_file(tmp_path / f"{n:02}.npy", steps)
    rows = [f"{n:02}.npy;{NAMES[n % 2]};g{n // 4}" for n in range(COUNT)]
    (tmp_path / "labels.csv").write_text("\n".join(["file;label;who", *rows]) + "\n")
    dataset = loaded(tmp_path, group_column="who")
    same_sequences(dataset, SERIES)
    assert len(dataset.test) % 4 == len(dataset.validation) % 4 == 0
    made.one_file(tmp_path / "24.npy", SERIES[0])
    with pytest.raises(DataError, match=r"24.npy: no row of .*labels.csv names it"):
        loaded(tmp_path)


def test_a_folder_of_tables_is_answered_without_its_table_of_labels_and_of_a_zip_it_is_said_what_to_do(tmp_path):
    (folder := tmp_path / "t").mkdir()
    for n, steps in enumerate(SERIES):
        (folder / f"{n:02}.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in steps))
    rows = [f"{n:02}.csv,{NAMES[n % 2]}" for n in range(COUNT)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    preprocess = loaded(folder).preprocess
    read = preprocess.read([str(folder)], [], None)
    assert [name.rsplit("/", 1)[1] for name, _ in read] == [f"{n:02}.csv" for n in range(COUNT)]
    np.testing.assert_allclose(read[3][1](), SERIES[3])
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as packed:
        packed.write(folder / "00.csv", "00.csv")
    ((_, made_of_it),) = preprocess.read([str(tmp_path / "t.zip")], [], None)
    with pytest.raises(DataError, match=r"00.csv: tables within a zip are not read; unpack it and name the folder"):
        made_of_it()


def test_a_column_of_labels_in_each_file_is_of_the_file_where_it_does_not_change_and_of_steps_where_it_does(tmp_path):
    for n, steps in enumerate(SERIES):
        rows = "".join(f"{x},{y},{NAMES[n % 2]}\n" for x, y in steps)
        (tmp_path / f"{n}.csv").write_text("x,y,label\n" + rows)
    assert loaded(tmp_path).target == "class"
    made.one_file(tmp_path / "3.csv", SERIES[3])
    rows = "".join(f"{x},{y},{NAMES[step % 2]}\n" for step, (x, y) in enumerate(SERIES[3]))
    (tmp_path / "3.csv").write_text("x,y,label\n" + rows)
    assert (loaded(tmp_path).target, loaded(tmp_path).spec.per_step) == ("steps", True)


@pytest.mark.parametrize("layout", ["long", "files"])
def test_labels_that_are_written_at_each_step_are_of_the_steps_or_of_the_whole_as_the_model_was_trained(
    layout, tmp_path
):
    def written(name, labels):
        rows = [[f"{step},{step % 3},{label}" for step, label in enumerate(of)] for of in labels]
        if layout == "long":
            lines = [f"{number},{row}" for number, of in enumerate(rows) for row in of]
            (tmp_path / f"{name}.csv").write_text("\n".join(["id,time,x,label", *lines]))
            return tmp_path / f"{name}.csv"
        (tmp_path / name).mkdir()
        for number, of in enumerate(rows):
            (tmp_path / name / f"{number}.csv").write_text("\n".join(["time,x,label", *of]))
        return tmp_path / name

    steps = SequenceTable(path=str(written("steps", ["aab" + "b" * number for number in range(12)]))).load()
    whole = SequenceTable(path=str(written("whole", ["ab"[n % 2] * (3 + n) for n in range(12)]))).load()
    assert (steps.target, whole.target) == ("steps", "class")
    alike, differ, empty = written("alike", ["bbb", "aa"]), written("differ", ["aab"]), written("empty", [["", ""]])
    assert [row[row >= 0].tolist() for row in steps.preprocess.labelled(alike)["labels"]] == [[1, 1, 1], [0, 0]]
    assert whole.preprocess.labelled(alike)["labels"].tolist() == [1, 0]
    with pytest.raises(DataError, match="its labels differ from step to step, and one of the whole sequence is needed"):
        whole.preprocess.labelled(differ)
    with pytest.raises(DataError, match="the label in 'label' is empty"):
        whole.preprocess.labelled(empty)
    if layout == "files":
        assert whole.preprocess.labelled(alike / "0.csv")["labels"].tolist() == [1]
        assert steps.preprocess.labelled(alike / "0.csv")["labels"][0, :3].tolist() == [1, 1, 1]


def test_rows_with_times_are_steps_and_are_not_read_as_sequences_where_nothing_tells_those_apart(tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    path.write_text(path.read_text().replace("id,time", "subject,time", 1))
    with pytest.raises(DataError, match=r"rows have times in 'time' .* --data.id-column, or say --data.layout wide"):
        loaded(path)
    same_sequences(loaded(path, id_column="subject"), SERIES)


def test_rows_with_times_and_an_id_each_are_asked_about(tmp_path):
    (tmp_path / "a.csv").write_text(
        "id,time,x,label\n" + "".join(f"{n},{n},{n / 7},{NAMES[n % 2]}\n" for n in range(COUNT))
    )
    with pytest.raises(
        DataError, match=r"a sequence of one step or a sequence; .*--data.layout long, or --data.layout wide"
    ):
        loaded(tmp_path / "a.csv")
    dataset = loaded(tmp_path / "a.csv", layout="long")
    same_sequences(dataset, [np.array([[n / 7]]) for n in range(COUNT)])


def test_the_numbers_of_the_rows_are_no_channel(tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f",{lines[0]}", *(f"{n},{line}" for n, line in enumerate(lines[1:]))]) + "\n")
    dataset = loaded(path)
    same_sequences(dataset, SERIES)
    assert any("left aside, the numbers of the rows" in line for line in dataset.understood)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
@pytest.mark.parametrize("order", ["shuffled", "every third"])
def test_an_index_of_pandas_is_no_step_whatever_became_of_its_rows(name, order, tmp_path):
    lines = made.wide_table(tmp_path / "plain.csv").read_text().splitlines()
    rows = range(1, len(lines)) if order == "every third" else np.random.default_rng(0).permutation(COUNT) + 1
    numbers = [3 * row if order == "every third" else int(row) for row in rows]
    chosen = [f"{number},{lines[row]}" for number, row in zip(numbers, rows, strict=True)]
    (tmp_path / "wide.csv").write_text("\n".join([f"{name},{lines[0]}", *chosen]) + "\n")
    dataset = loaded(tmp_path / "wide.csv")
    same_sequences(dataset, [steps[:, :1] for steps in SERIES])
    assert any("left aside, the numbers of the rows" in line for line in dataset.understood)


def test_a_column_of_any_name_that_counts_the_rows_is_no_step_of_them(tmp_path):
    lines = made.wide_table(tmp_path / "plain.csv").read_text().splitlines()
    counted = [f"{row or 'sample'},{line}" for row, line in enumerate(lines)]
    (tmp_path / "wide.csv").write_text("\n".join(counted) + "\n")
    same_sequences(loaded(tmp_path / "wide.csv"), [steps[:, :1] for steps in SERIES])
    named = ("sample", *lines[0].split(",")[1:])
    assert loaded(tmp_path / "wide.csv", value_columns=named).train.lengths.max() > max(map(len, SERIES))


TARGETS = {
    "labels": (lambda n, t: ("a", "b|c", "a|b", "")[n % 4], "labels", ("a", "b", "c")),
    "number": (lambda n, t: str(n * 1.37), "number", ()),
    "steps": (lambda n, t: ("up", "down", "")[(n + t) % 3], "steps", ("down", "up")),
    "few numbers": (lambda n, t: str(n % 3), "class", ("0", "1", "2")),
}


@pytest.mark.parametrize("case", TARGETS)
def test_what_is_learned_is_chosen_from_the_labels_and_said(case, tmp_path):
    target, kind, names = TARGETS[case]
    dataset = loaded(made.long_table(tmp_path / "long.csv", target=target))
    assert (dataset.target, dataset.spec.names) == (kind, names)
    assert any(line.startswith("target: ") for line in dataset.understood)
    if kind == "labels":
        labels = {(1, 0, 0), (0, 1, 1), (1, 1, 0), (0, 0, 0)}
        assert set(map(tuple, dataset.train["targets"].tolist())) == labels, "an empty cell means no label"
        assert any(re.fullmatch(r"\d+ sequences? ha(s|ve) none of the labels", line) for line in dataset.understood)
    if kind == "number":
        assert dataset.train["targets"].dtype == np.float32
    if kind == "steps":
        after = np.arange(dataset.train["labels"].shape[1]) >= dataset.train.lengths[:, None]
        assert (dataset.train["labels"][after] == -1).all()
        assert (dataset.train["labels"][~after] == -1).mean() == pytest.approx(1 / 3, abs=0.1)
    assert dataset.spec.per_step == (kind == "steps")


@pytest.mark.parametrize("labels", [("a", "b", ""), ("1.5", "2.5", ""), ("", "", "")])
def test_an_empty_label_is_refused_where_there_is_one_label(labels, tmp_path):
    path = made.long_table(tmp_path / "long.csv", target=lambda n, t: labels[n % 3])
    with pytest.raises(DataError, match=r"long\.csv:\d+: the label in 'label' is empty; give one, or leave"):
        loaded(path)


def test_a_table_of_files_may_say_that_one_has_no_label(tmp_path):
    for n, steps in enumerate(SERIES):
        np.save(tmp_path / f"{n}.npy", steps)
    rows = [f"{n}.npy,{('a', 'a|b', '')[n % 3]}\n" for n in range(COUNT)]
    (tmp_path / "labels.csv").write_text("".join(["file,label\n", *rows]))
    dataset = loaded(tmp_path)
    assert set(map(tuple, dataset.train["targets"].tolist())) == {(1, 0), (1, 1), (0, 0)}


def test_a_column_a_label_and_what_the_user_says_are_taken(tmp_path):
    path = tmp_path / "wide.csv"
    lines = [f"{n % 2},{int(n % 3 == 0)},{','.join(map(str, SERIES[n][:4, 0]))}" for n in range(COUNT)]
    path.write_text("\n".join(["rain,wind,a,b,c,d", *lines]) + "\n")
    both = loaded(path, label_column=("rain", "wind"))
    assert (both.target, both.spec.names) == ("labels", ("rain", "wind"))
    assert both.train["targets"].shape[1] == 2
    one = loaded(path, label_column=("rain",), value_columns=("a", "b", "c", "d"), target="number")
    assert (one.target, one.spec.outputs, one.preprocess.lengths[-1]) == ("number", 1, 4)
    with pytest.raises(DataError, match="a class is in one column; 'rain' and 'wind' are several"):
        loaded(path, label_column=("rain", "wind"), target="class")


def test_a_class_of_copies_is_refused_in_the_words_of_sequences(tmp_path):
    for n, steps in enumerate(SERIES):
        (tmp_path / NAMES[n % 2]).mkdir(exist_ok=True)
        np.save(tmp_path / NAMES[n % 2] / f"{n}.npy", steps if n % 2 else SERIES[0])
    with pytest.raises(
        DataError, match=r"'calm' cannot be split .* copies of one sequence, .*; give other sequences of it"
    ):
        loaded(tmp_path)


def test_exact_duplicates_stay_in_one_split(tmp_path):
    for n, steps in enumerate(SERIES * 2):
        (tmp_path / NAMES[n % 2]).mkdir(exist_ok=True)
        made.one_file(tmp_path / NAMES[n % 2] / f"{n}.npy", steps)
    dataset = loaded(tmp_path)
    found = {name: {row.tobytes() for row in split["inputs"]} for name, split in dataset.splits().items()}
    assert not found["train"] & (found["validation"] | found["test"])
    assert any("exactly like others: 24 sequences" in line for line in dataset.understood)


def test_a_cut_is_said_and_a_constant_channel_and_columns_of_text_too(tmp_path):
    path = made.long_table(tmp_path / "long.csv")
    lines = [line + "," + ("where,same" if n == 0 else "lab,7") for n, line in enumerate(path.read_text().splitlines())]
    path.write_text("\n".join(lines) + "\n")
    dataset = loaded(path, max_length=5)
    said = "\n".join(dataset.understood)
    for wanted in (
        "ids in 'id', times in 'time', labels in 'label', 3 channels ('x', 'y', 'same')",
        "1 column (where) left aside, text",
        "1 channel without a change in training: same",
        "cut to their first 5 steps",
        "2 names (calm 12, wild 12)",
        "put in the order of 'time'",
    ):
        assert wanted in said
    assert dataset.preprocess.lengths[-1] == 5
    assert (dataset.train["inputs"][..., 2] == 0).all()


def test_json_brings_the_preprocessing_back(tmp_path):
    for dataset in (
        loaded(made.long_table(tmp_path / "long.csv")),
        loaded(made.wav_zip(tmp_path / "r.zip"), name_pattern="{label}_{group}_{number}"),
    ):
        pre = dataset.preprocess
        assert SequencePreprocess.from_json(json.loads(json.dumps(pre.to_json()))) == pre


def test_what_predict_reads_is_what_training_read(tmp_path):
    dataset = loaded(made.long_table(tmp_path / "long.csv"))
    pre = dataset.preprocess
    new = made.long_table(tmp_path / "new.csv", label=False)
    inputs = pre.read([str(new)], [], None)
    assert [name for name, _ in inputs] == [f"{new}: s{n}" for n in range(COUNT)]
    for (_, read), steps in zip(inputs, SERIES, strict=True):
        np.testing.assert_allclose(read(), steps)
    np.save(tmp_path / "one.npy", SERIES[0])
    made.ts_file(tmp_path / "two.ts", range(2))
    found = pre.read([str(tmp_path / "one.npy"), str(tmp_path / "two.ts"), str(tmp_path / "no.csv")], [], None)
    np.testing.assert_allclose(found[0][1](), SERIES[0])
    np.testing.assert_allclose(found[2][1](), SERIES[1])
    with pytest.raises(DataError, match=r"no.csv: no such file"):
        found[3][1]()
    labelled = pre.labelled(made.long_table(tmp_path / "again.csv"))
    np.testing.assert_array_equal(labelled["labels"], np.arange(COUNT) % 2)
    assert labelled.places[:2] == [f"{tmp_path / 'again.csv'}:{2 + row}" for row in (0, len(SERIES[0]))]
    np.testing.assert_allclose(labelled["inputs"][0, : len(SERIES[0])], pre.row(SERIES[0]))
    with pytest.raises(UsageError, match="--text: this model reads numeric sequences"):
        pre.read([], ["a text"], None)
    with pytest.raises(UsageError, match="not read from the standard input; give files"):
        pre.read(["-"], [], None)


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


VALUE = str(SERIES[0][0, 0])
BAD = {
    "text in a column of numbers": (VALUE, "high", r"long.csv:\d+: 'x' must be a number, got 'high'"),
    "infinity": (VALUE, "inf", r"long.csv:\d+: 'x' is infinite"),
    "decimal commas": (VALUE, '"1,5"', "write numbers with a point"),
    "commas between thousands": (VALUE, '"1,234"', "write no signs between thousands, 1234"),
    "dates among numbers": ("s0,1,", "s0,2024-05-31,", "which is no time in the format of the rows before it"),
    "times of too many digits": ("s0,1,", f"s0,{2**53 + 1},", f"'time' has {2**53 + 1}, of more digits"),
    "doubled times": ("s0,1,", "s0,0,", r"long.csv:\d+: the time '0' in 'time' stands twice .*, also at .*long.csv:\d"),
    "no time": ("s0,1,", "s0,soon,", r"long.csv:\d+: column 'time' has 'soon', which is no time .*--data.time-format"),
    "no id": ("s0,1,", ",1,", r"long.csv:\d+: 'id' is empty"),
    "no label": ("label", "result", r"no column is called label or .*--data.label-column"),
    "one class": ("calm", "wild", "one class only, 'wild'"),
    "an unknown option": ("time", "hour", "no column 'time'; .*--data.time-column"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_with_file_line_and_remedy(case, tmp_path):
    old, new, message = BAD[case]
    path = made.long_table(tmp_path / "long.csv")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        loaded(path, time_column="time" if case == "an unknown option" else None)


def test_where_all_numbers_are_written_with_commas_it_is_said_what_to_do(tmp_path):
    lines = made.wide_table(tmp_path / "wide.csv").read_text().splitlines()
    (tmp_path / "wide.csv").write_text("\n".join(line.replace(",", ";").replace(".", ",") for line in lines) + "\n")
    with pytest.raises(DataError, match=r"no column of values holds numbers; .*: write numbers with a point, 1\.5"):
        loaded(tmp_path / "wide.csv")


BAD_TS = {
    "no data": ("@data", "@date", "there is no line @data|before @data"),
    "another class": (":wild", ":odd", "A.ts:11: the label 'odd' is none of those of @classLabel"),
    "channels": (":wild", ":1:wild", "A.ts:11: 3 channels before the label, where the header says 2"),
    "a word": ("?", "x", r"A.ts:13: 'channel 1, step 1' must be a number"),
    "time stamps": ("@timeStamps false", "@timeStamps true", "time stamps .* are not read"),
    "a switch": ("@missing true", "@missing maybe", "@missing must be true or false"),
}


@pytest.mark.parametrize("case", BAD_TS)
def test_bad_ts_files_are_refused_with_file_line_and_remedy(case, tmp_path):
    old, new, message = BAD_TS[case]
    path = made.ts_file(tmp_path / "A.ts")
    edited(path, old, new)
    with pytest.raises(DataError, match=message):
        loaded(path)


def test_recordings_that_are_none_are_refused_by_name(tmp_path):
    root = made.class_folders(tmp_path / "w", ".wav")
    victim = root / "calm" / "00.wav"
    good = victim.read_bytes()
    for spoiled, message in (
        (b"not a recording", "00.wav: not a WAV file"),
        (good[:20], "00.wav: not a WAV file that can be read"),
        (good[:-100], "00.wav: cut off"),
        (made.wav_bytes(SERIES[0], rate=16000), "Hz, where .* at .*ffmpeg -i IN -ar"),
    ):
        victim.write_bytes(spoiled)
        with pytest.raises(DataError, match=message):
            loaded(root)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (34, b"\x08\0", "1 channel of 1 byte and 2 bytes for all of them; one of these is wrong"),
        (22, b"\x02\0", "2 channels of 2 bytes and 2 bytes for all of them"),
        (32, b"\x04\0", "1 channel of 2 bytes and 4 bytes for all of them"),
        (40, bytes(4), "its header says that no sample follows"),
    ],
)
def test_a_recording_whose_header_says_two_things_is_refused(at, value, message):
    """Read by either, other numbers would come out than were recorded."""
    good = made.wav_bytes(SERIES[0])
    assert len(good) > 2048 and good[36:40] == b"data"
    size = (int.from_bytes(good[4:8], "little") + 12).to_bytes(4, "little")
    listed = (
        good[:4] + size + good[8:36] + b"LIST\x03\0\0\0abc\0" + good[36:]
    )  # chunks before the samples, of odd size, are none of them
    np.testing.assert_array_equal(wav_files.read(listed, "a.wav")[0], wav_files.read(good, "a.wav")[0])
    with pytest.raises(DataError, match=f"a.wav: .*{message}"):
        wav_files.read(good[:at] + value + good[at + len(value) :], "a.wav")


def test_other_refusals_name_what_to_do(tmp_path):
    root = made.class_folders(tmp_path / "f", ".npy")
    with pytest.raises(DataError, match=r"--data.hold-out names groups, and there are none"):
        loaded(root, hold_out=("x",))
    np.save(root / "calm" / "00.npy", np.array(["a"]))
    with pytest.raises(DataError, match=r"00.npy: must hold numbers \[T\] or \[T, channels\]"):
        loaded(root)
    np.save(root / "calm" / "00.npy", np.zeros((3, 5)))
    with pytest.raises(DataError, match=r"00.npy: 5 channels|: 2 channels, where .*00.npy has 5"):
        loaded(root)
    np.save(root / "calm" / "00.npy", np.zeros((3, 2), object), allow_pickle=True)
    with pytest.raises(DataError, match=r"00.npy: not a .npy file of numbers"):
        loaded(root)
    with pytest.raises(DataError, match="this is one sequence; name the folder"):
        loaded(root / "wild" / "01.npy")
    with pytest.raises(UsageError, match=r"--data\.path"):
        SequenceTable().load()
    with pytest.raises(UsageError, match=r"--data.name-pattern must be a pattern that holds \{label\}"):
        SequenceTable(name_pattern="{group}_{number}")
    path = made.long_table(tmp_path / "long.csv", target=lambda n, t: "rare" if n == 0 else NAMES[n % 2])
    with pytest.raises(DataError, match=r"the class 'rare' has 1 of 24 sequences"):
        loaded(path)
    train, test = (made.long_table(tmp_path / f"{name}.csv") for name in ("train", "test"))
    edited(test, "calm", "clam")
    test.write_text(test.read_text().replace("calm", "clam"))
    with pytest.raises(
        DataError, match=r"test.csv:\d+: the label 'clam' does not occur in training; did you mean 'calm'"
    ):
        loaded(train, test_path=str(test))

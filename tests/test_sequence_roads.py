"""Numeric sequences of one's own from the command to the answer: the task follows the data, and the folder knows it."""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

import rnnjax
from rnnjax import data
from rnnjax.__main__ import main
from rnnjax.errors import UsageError
from rnnjax.own import SEQUENCES
from rnnjax.runs.workdir import WorkDir
from rnnjax.tasks import Classification, MultiLabel, PerStep, Regression
from rnnjax.training.runner import Runner
from tests import sequences_made as made
from tests.test_sequence_files import TARGETS

SMALL = ["--model.features", "4", "--train.epochs", "1", "--data.batch-size", "8"]
TASKS = {"class": Classification, "labels": MultiLabel, "number": Regression, "steps": PerStep}
DATA = Path(os.environ.get("TFDS_DATA_DIR") or "absent").parent / "data"
"""Data that are no one's here lie beside those of TFDS, where there are any."""
FSDD = DATA / "fsdd-recordings.zip"


def japanese_vowels() -> Path:
    """The folder of the ragged set, as the package aeon has it; skips the test where it is not installed."""
    found = importlib.util.find_spec("aeon")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        if (Path(folder) / "datasets" / "data" / "JapaneseVowels").is_dir():
            return Path(folder) / "datasets" / "data" / "JapaneseVowels"
    pytest.skip("JapaneseVowels comes with aeon, which is not here")


def evaluated(capsys, path) -> dict:
    """What the command says of new labelled data."""
    capsys.readouterr()
    assert main(["sequence", "evaluate", str(path)]) == 0
    return json.loads(capsys.readouterr().out)


def answered(capsys, *arguments) -> list[dict]:
    capsys.readouterr()
    assert main(["sequence", "predict", *map(str, arguments), "--json-lines"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_experiment_whose_task_follows_the_data_has_it_when_they_are_read(tmp_path):
    path = made.long_table(tmp_path / "long.csv", target=TARGETS["number"][0])
    section = dataclasses.replace(SEQUENCES.data, path=str(path), batch_size=8)
    experiment = dataclasses.replace(SEQUENCES, data=section)
    dataset = data.load(section)
    settled = experiment.settled(dataset)
    assert (type(settled.task), settled.data.target) == (Regression, "number")
    assert settled.settled(dataset) is settled
    with pytest.raises(UsageError, match=r"experiment.settled\(dataset\)"):
        Runner(experiment, dataset)
    said = dataclasses.replace(experiment, task=Classification())
    assert said.data.target == "class", "an experiment's own task says what is read"


def test_another_task_than_the_labels_are_of_is_refused_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = made.long_table(tmp_path / "long.csv")
    assert main(["sequence", str(path), *SMALL, "--data.target", "number"]) == 1
    assert "must be a number, got 'calm'; for classes give --data.target class" in capsys.readouterr().err
    assert main(["sequence", str(path), *SMALL, "--data.target", "steps"]) == 1
    assert "--data.target steps needs a label a step" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("target", TASKS)
def test_each_target_trains_evaluates_resumes_and_answers_a_table_without_labels(target, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    label = TARGETS["few numbers" if target == "class" else target][0]
    table = made.long_table(tmp_path / "mine.csv", target=label)
    assert main(["sequence", str(table), *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "python -m rnnjax sequence predict runs/sequence_table/seed-0/samples/test-0.npy" in shown
    run = WorkDir(tmp_path / "runs" / "sequence_table" / "seed-0").read_run()
    assert run.parts["task"]["kind"] == TASKS[target].kind
    assert run.config.data.target == target
    assert "target: " in (tmp_path / "runs" / "sequence_table" / "seed-0" / "data.txt").read_text()
    assert main(["sequence", str(table), *SMALL]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert main(["sequence", "evaluate"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "validation"
    assert evaluated(capsys, table)["examples"] == made.COUNT
    rows = answered(capsys, made.long_table(tmp_path / "new.csv", label=False))
    assert [row["input"] for row in rows] == [f"{tmp_path}/new.csv: s{n}" for n in range(made.COUNT)]
    if importlib.util.find_spec("onnxruntime"):  # which compares the file's answers with the model's
        assert main(["sequence", "export", "--to", "onnx"]) == 0
        assert "model.onnx, which answers its sample as the model here does" in capsys.readouterr().out
    predictor = rnnjax.load("runs/sequence_table/seed-0")
    assert type(predictor.task) is TASKS[target]
    answers = predictor(made.SERIES[:3])
    if target == "steps":
        assert [len(row["labels"]) for row in rows] == list(map(len, made.SERIES))
        assert answers == [row["labels"] for row in rows[:3]]
    elif target == "number":
        np.testing.assert_allclose(answers, [row["prediction"] for row in rows[:3]], rtol=1e-4)
        far = made.long_table(tmp_path / "far.csv", target=lambda n, t: "1e25")
        assert main(["sequence", "evaluate", str(far)]) == 1
        assert "far.csv: loss is too large to be a number" in capsys.readouterr().err
    elif target == "labels":
        names = np.array(predictor.spec.names)
        assert [names[row].tolist() for row in answers] == [row["labels"] for row in rows[:3]]


@pytest.mark.slow
def test_other_data_are_read_and_judged_in_the_units_of_the_training(tmp_path, monkeypatch, capsys):
    """That is as predict answers, and by what the model has seen: other data say nothing of their own statistics."""
    monkeypatch.chdir(tmp_path)
    mine = made.long_table(tmp_path / "mine.csv", target=lambda n, t: f"{made.SERIES[n].mean():.3f}")
    assert main(["sequence", str(mine), *SMALL, "--data.target", "number"]) == 0
    monkeypatch.setattr(made, "SERIES", [3 * steps + 20 for steps in made.SERIES])
    other = made.long_table(tmp_path / "other.csv", target=lambda n, t: f"{made.SERIES[n].mean():.3f}")
    capsys.readouterr()
    assert main(["sequence", "evaluate", "--data.path", str(other), "--other-data", "--split", "test"]) == 0
    said = json.loads(capsys.readouterr().out)
    places = data.load(dataclasses.replace(SEQUENCES.data, path=str(other), target="number")).places()["test"]
    lines = other.read_text().splitlines()
    numbers = [int(lines[int(place.rsplit(":", 1)[1]) - 1].split(",")[0].removeprefix("s")) for place in places]
    answers = rnnjax.load("runs/sequence_table/seed-0")([made.SERIES[n] for n in numbers])
    wanted = [round(made.SERIES[n].mean(), 3) for n in numbers]
    assert said["rmse"] == pytest.approx(np.sqrt(np.mean((answers - np.array(wanted)) ** 2)), rel=1e-4)


@pytest.mark.slow
@pytest.mark.long
def test_recordings_train_and_answer_and_a_broken_one_is_named_beside_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = made.wav_zip(tmp_path / "r.zip")
    pattern = ["--data.name-pattern", "{label}_{group}_{number}", "--data.hold-out", "di"]
    assert main(["sequence", str(path), *SMALL, *pattern]) == 0
    (tmp_path / "new.wav").write_bytes(made.wav_bytes(made.SERIES[5][:, 0]))
    (tmp_path / "bad.wav").write_bytes(b"none")
    capsys.readouterr()
    assert main(["sequence", "predict", "new.wav", "bad.wav", str(path), "--json-lines"]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["input"] for row in rows[:3]] == ["new.wav", "bad.wav", f"{path}/recordings/calm_ann_0.wav"]
    assert len(rows) == 2 + made.COUNT
    assert "bad.wav: not a WAV file" in rows[1]["error"]
    assert "bad.wav: not a WAV file" in err
    same = next(row for row in rows if row["input"].endswith("wild_ann_5.wav"))
    assert same["probability"] == pytest.approx(rows[0]["probability"], rel=1e-5)
    assert main(["sequence", "evaluate", "--split", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 6


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not FSDD.is_file(), reason="the zip of spoken digits is not here")
def test_spoken_digits_as_their_zip_comes_are_learned_to_97_percent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    by_number = ["--data.name-pattern", "{label}_{speaker}_{group}", "--data.hold-out", *"01234"]
    assert main(["sequence", str(FSDD), *by_number, "--train.epochs", "4"]) == 0
    result = json.loads((tmp_path / "runs" / "sequence_table" / "seed-0" / "result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] > 0.97
    every = evaluated(capsys, FSDD)
    assert every["examples"] == 3000
    assert every["accuracy"] > 0.97
    rows = answered(capsys, *sorted((tmp_path / "runs" / "sequence_table" / "seed-0" / "samples").iterdir()))
    assert len(rows) == 3
    assert all(row["label"] in "0123456789" for row in rows)


@pytest.mark.slow
@pytest.mark.long
def test_a_ragged_ts_set_is_learned_by_its_own_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train, test = (japanese_vowels() / f"JapaneseVowels_{split}.ts" for split in ("TRAIN", "TEST"))
    assert main(["sequence", str(train), "--train.epochs", "30"]) == 0
    result = json.loads((tmp_path / "runs" / "sequence_table" / "seed-0" / "result.json").read_text())
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert evaluated(capsys, test)["accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"])
    rows = answered(capsys, test)
    new = rnnjax.load("runs/sequence_table/seed-0").preprocess.labelled(test)
    right = np.mean([int(row["label"]) - 1 == label for row, label in zip(rows, new["labels"], strict=True)])
    assert right == pytest.approx(result["metrics"]["test"]["accuracy"])

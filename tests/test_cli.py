"""The command line, as a user meets it: help, overrides, typos, exit codes, evaluate and predict."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.digits_rows import EXPERIMENT as DIGITS
from experiments.state_tracking import EXPERIMENT as STATES
from rnnjax.cli import main
from rnnjax.experiment import Variant
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.predict import load
from tests.small import TEXT_CONFIG, made_up_texts, small_program

CHECKOUT = Path(__file__).resolve().parent.parent
SMALL = ["--model.features", "8", "--train.epochs", "1", "--seeds", "0"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The work folder of a finished run on the digits, made by the command line itself."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(DIGITS, [*SMALL, "--runs-dir", str(runs)]) == 0
    return runs / "digits_rows" / "seed-0"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The work folder of a finished run on made-up texts."""
    root = tmp_path_factory.mktemp("texts") / "run"
    fit(small_program(TEXT_CONFIG, made_up_texts()), 0, root)
    return root


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean train?"),
        (["--data.batch-size", "0"], "--data.batch-size must be positive, got 0"),
        (["--data.batch-size", "-3"], "--data.batch-size must be positive, got -3"),
        (["--data.batch-size", "5000"], "larger than the training split of 1293"),
        (["--optim.learning-rate", "nan"], "--optim.learning-rate must be positive and finite"),
        (["--model.dropout", "1"], "--model.dropout must be at least 0 and below 1"),
        (["--data.batch-size", "62", "--seeds"], "needs at least one seed"),
        (["--optim.groups", "head=2", "embed=0.5"], "'embed' is found in no parameter's path; these are:"),
        (["--optim.groups", "head"], "--optim.groups must be REGULAR-EXPRESSION=FACTOR"),
        (["--seeds", "0", "0"], "none twice"),
        (["--seeds", "-1"], "none negative"),
        (["evaluate", "--cpu-devices", "0"], "must be positive"),
        (["evaluate", "--workdir", "nowhere"], "holds no run"),
        (["predict", "--workdir", "nowhere"], "holds no run"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments, message, capsys):
    assert main(DIGITS, arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optim.learning-rat", "1"], "--optim.learning-rate"),
        (["train", "--optim.optimizer", "lion"], "adamw"),
        (["evaluate", "--splt", "test"], "--split"),
    ],
)
def test_a_typo_names_what_was_meant(arguments, message, capsys):
    try:
        code = main(DIGITS, arguments)
    except SystemExit as ended:  # by tyro, of a value
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_data_set_that_does_not_exist_is_exit_code_1(capsys):
    assert main(DIGITS, ["--data.name", "mnst"]) == 1
    assert "did you mean mnist?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_variant_is_an_experiment_of_its_own(tmp_path, capsys):
    experiment = dataclasses.replace(DIGITS, variants={"tiny": Variant("a tiny LSTM", model={"features": (4,)})})
    options = ["--train.epochs", "1", "--seeds", "0", "--runs-dir", str(tmp_path)]
    assert main(experiment, ["--variant", "tiny", *options]) == 0
    run = tmp_path / "digits_rows-tiny" / "seed-0"
    shown = capsys.readouterr().out
    assert f"python -m experiments.digits_rows --variant tiny evaluate --workdir {run}" in shown
    result = json.loads((run / "result.json").read_text())
    assert result["experiment"] == "digits_rows-tiny"
    assert result["config"]["model"]["features"] == [4]
    assert main(experiment, ["evaluate", "--variant=tiny", "--workdir", str(run)]) == 0
    for wrong, message in (
        (["--variant", "tinny"], "did you mean tiny?"),
        (["--variant", "large"], "its variants are tiny"),
        (["--variant"], "--variant needs a name: tiny"),
    ):
        assert main(experiment, wrong) == 2
        assert message in capsys.readouterr().err
    assert main(DIGITS, ["--variant", "tiny"]) == 2
    assert "digits_rows has no variant 'tiny'; it has none" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(experiment, ["--help"])
    assert "--variant tiny: a tiny LSTM" in capsys.readouterr().out


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as exit:
        main(DIGITS, ["train", "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--optim.learning-rate", "--data.batch-size", "--model.features", "--seeds", "--fresh"):
        assert option in shown
    assert "(default: 0.005)" in shown
    assert "vocabulary" not in shown, "an image experiment does not offer the options of texts"


def test_an_unwritable_folder_is_exit_code_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(DIGITS, [*SMALL, "--runs-dir", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_same_options_with_and_without_the_word_train(images, capsys):
    runs = str(images.parent.parent)
    assert main(DIGITS, ["train", *SMALL, "--runs-dir", runs]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert main(DIGITS, [*SMALL, "--runs-dir", runs, "--optim.learning-rate", "3e-3"]) == 2
    assert "optim.learning_rate: 0.003, not 0.005" in capsys.readouterr().err


def test_the_summary_names_what_comes_next(tmp_path, capsys):
    assert main(DIGITS, [*SMALL, "--runs-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "compilation cache" not in shown, "what developers look for stands in the result"
    result = json.loads(next(tmp_path.rglob("result.json")).read_text())
    assert result["compilation_cache"] == "off"
    assert {"imports", "data", "initialize", "compile"} <= set(result["seconds"])
    assert "MISSED" in shown, "one epoch does not reach the target, and that is said"
    for word in ("evaluate --workdir", "predict", "--fresh", "tensorboard --logdir", "result.json", "curves.png"):
        assert word in shown


def test_a_target_that_is_of_other_data_is_left_out(tmp_path, capsys):
    assert main(DIGITS, [*SMALL, "--data.permutation-seed", "3", "--runs-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "the target, 97%, is of data without --data.permutation-seed: it is left out here" in shown.err
    assert "MISSED" not in shown.out
    assert json.loads(next(tmp_path.rglob("result.json")).read_text())["target"] is None
    longer = STATES.with_parts(data=dataclasses.replace(STATES.data, test_length=300))
    other = STATES.with_parts(task=dataclasses.replace(STATES.task, scored_within=64))
    assert longer.target is None is other.target
    assert STATES.with_parts(data=dataclasses.replace(STATES.data, training_words=7)).target == STATES.target


@pytest.mark.slow
def test_a_search_says_that_it_was_not_tested_and_how_it_will_be(tmp_path, capsys):
    arguments = [*SMALL, "--runs-dir", str(tmp_path)]
    assert main(DIGITS, [*arguments, "--train.no-test"]) == 0
    shown = capsys.readouterr().out
    assert "seed 0: not tested" in shown
    assert "validation accuracy" in shown
    assert "target" not in shown
    assert "test accuracy" not in shown
    assert "evaluates it on the test split" in shown
    assert "report-validation.json" in shown
    assert main(DIGITS, arguments) == 0
    shown = capsys.readouterr().out
    assert "seed 0: test accuracy" in shown
    assert "finished already" not in shown
    assert main(DIGITS, arguments) == 0
    assert "finished already" in capsys.readouterr().out


@pytest.mark.slow
def test_until_accuracy_is_told_reached_or_not(tmp_path, capsys):
    arguments = [*SMALL, "--runs-dir", str(tmp_path)]
    assert main(DIGITS, [*arguments, "--until-accuracy", "0.001"]) == 0
    assert "validation: 0.10% reached after epoch 1, 1,280 examples" in capsys.readouterr().out
    assert main(DIGITS, arguments) == 2, "a run that was cut short is not the whole one"
    assert "train.until_accuracy: None, not 0.001" in capsys.readouterr().err
    assert main(DIGITS, [*arguments, "--train.until-accuracy", "1", "--fresh"]) == 0
    assert "validation: 100.00% never reached" in capsys.readouterr().out


def test_evaluate_needs_only_the_folder_and_agrees_with_training(images, capsys):
    assert main(DIGITS, ["evaluate", "--workdir", str(images), "--split", "test"]) == 0
    captured = capsys.readouterr()
    assert "looked at the test split" in captured.err
    shown, result = json.loads(captured.out), json.loads((images / "result.json").read_text())
    assert shown["accuracy"] == result["metrics"]["test"]["accuracy"]
    assert shown["loss"] == pytest.approx(result["metrics"]["test"]["loss"], rel=1e-5)
    assert shown["macro_f1"] == pytest.approx(result["report"]["macro_f1"], abs=1e-7)


def test_evaluate_reports_by_class_also_where_it_cannot_be_written(images, capsys, monkeypatch):
    assert main(DIGITS, ["evaluate", "--workdir", str(images)]) == 0
    assert "report-validation.json" in capsys.readouterr().err
    by_class = json.loads((images / "report-validation.json").read_text())
    assert [row["name"] for row in by_class["classes"]] == [str(n) for n in range(10)]
    assert by_class["examples"] == np.sum(by_class["confusion"]) == 144

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnnjax.runs.finish.write_text", full)
    assert main(DIGITS, ["evaluate", "--workdir", str(images)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["split"] == "validation"
    assert "No space left on device" in captured.err


def test_predict_answers_what_it_can_and_names_the_rest(images, tmp_path, capsys):
    (tmp_path / "notes.png").write_text("no image")
    samples = images / "samples"
    inputs = [str(tmp_path / "notes.png"), str(samples), str(tmp_path / "gone.png")]
    assert main(DIGITS, ["predict", *inputs, "--workdir", str(images), "--json-lines"]) == 1
    captured = capsys.readouterr()
    first, *answers, last = [json.loads(line) for line in captured.out.splitlines()]
    assert [Path(a["input"]).name for a in answers] == [f"test-{i}.png" for i in range(5)]
    assert [Path(a["input"]).name for a in (first, last)] == ["notes.png", "gone.png"]
    assert "not a readable image" in first["error"] and "no such file" in last["error"]
    assert "notes.png: not a readable image" in captured.err
    assert "gone.png: no such file" in captured.err
    loaded = load(images)
    pixels = np.stack([np.asarray(Image.open(a["input"])) for a in answers])[..., None]
    logits = np.asarray(loaded.model.apply(loaded.variables, **loaded.preprocess(pixels)))
    assert [a["label"] for a in answers] == [str(n) for n in logits.argmax(-1)]


@pytest.mark.always
def test_predict_texts_from_the_command_line_a_file_and_stdin(texts, tmp_path, capsys, monkeypatch):
    (tmp_path / "lines.txt").write_text("b b b\n\nש a ש\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"a\0b")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"c c\n"), encoding="utf-8"))
    inputs = [str(tmp_path / "lines.txt"), str(tmp_path / "binary"), "-", str(tmp_path / "gone.txt")]
    given = ["--lines", "--text", "a d", "", "\udcff", "--json-lines"]
    assert main(DIGITS, ["predict", *inputs, "--workdir", str(texts), *given]) == 1
    captured = capsys.readouterr()
    every = [json.loads(line) for line in captured.out.splitlines()]
    assert [a["input"] for a in every if "error" in a] == ["?", *(f"{inputs[0]}:2", inputs[1], inputs[3])]
    answers = [a for a in every if "error" not in a]
    assert [a["input"] for a in answers] == ["a d", "", "b b b", "ש a ש", "c c"]
    assert [a["place"] for a in answers] == [
        "--text:1",
        "--text:2",
        *(f"{inputs[0]}:{line}" for line in (1, 3)),
        "standard input:1",
    ]
    assert {a["label"] for a in answers} <= {"with", "without"}
    assert "binary: not a UTF-8 text file" in captured.err
    assert "gone.txt" in captured.err
    assert "another encoding than UTF-8" in captured.err


def test_predict_refuses_text_for_an_image_classifier(images, capsys):
    assert main(DIGITS, ["predict", "--text", "hello", "--workdir", str(images)]) == 2
    assert "image classifier" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
def test_a_signal_saves_and_the_same_command_resumes(number, code, tmp_path):
    command = [sys.executable, "-m", "experiments.digits_rows", "--seeds", "0", "--train.epochs", "300"]
    command += ["--model.features", "8", "--runs-dir", str(tmp_path)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}

    def run_until(text: str) -> tuple[str, int]:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=-1, stderr=-2, text=True)
        shown, deadline = "", time.monotonic() + 300
        while text not in shown:
            line = process.stdout.readline()
            assert line, shown
            assert time.monotonic() < deadline, shown
            shown += line
        process.send_signal(number)
        return shown + process.communicate(timeout=300)[0], process.returncode

    shown, returned = run_until("epoch   2/300")
    assert returned == code, shown
    assert f"stopped by {signal.Signals(number).name}" in shown
    assert "Traceback" not in shown
    shown, returned = run_until("resuming")
    assert returned == code, shown

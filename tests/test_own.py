"""python -m rnnjax: data of one's own without a checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.image_folder import EXPERIMENT as FOLDER
from experiments.text_table import EXPERIMENT as TABLE
from rnnjax import own
from rnnjax.__main__ import main
from tests.test_table import many, written

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--model.features", "4", "--model.embedding-features", "4", "--train.epochs", "1", "--data.batch-size", "8"]


def test_the_experiments_of_the_checkout_are_those_of_the_package():
    assert (FOLDER, TABLE) == (own.IMAGES, own.TEXTS)
    assert (FOLDER.name, TABLE.name) == ("image_folder", "text_table"), "work folders hold these names"


def test_the_first_page_names_every_kind_of_data():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [kind for kind in own.KINDS if f"[`{kind} " not in page] == []


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_arguments_it_lists_the_kinds_with_an_example_each(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    for name, kind in own.KINDS.items():
        assert f"python -m rnnjax {name} {kind.example}\n" in shown
        format = "safetensors" if kind.experiment.task.writes else "onnx"  # the others are refused of what writes
        assert f"python -m rnnjax {name} export --to {format}:" in shown
    assert "pair export --to safetensors:" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imgae", "photos"], "there is no kind 'imgae'; did you mean image?"),
        (["audio", "songs"], "there is no kind 'audio'; use image or text"),
        (["image", "predct", "new.jpg"], "predct: no such file or folder; did you mean predict?"),
        (["text", "--model.cell", "gruu", "mine.csv"], "did you mean gru?"),
        (["text"], "--data.path"),
        (["image", "--data.height", "8"], "--data.data-dir"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_what_a_path_is_called_that_looks_like_a_verb_is_no_matter(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, missing in ((["train", "evaluat"], "evaluat"), (["nowhere.csv"], "nowhere.csv")):
        assert main(["text", *arguments]) == 1
        assert f"{missing}: no such file or folder" in capsys.readouterr().err


def test_a_plan_takes_its_path_as_training_does(capsys):
    assert main(["text", "plan", "nowhere.csv", "--for", "v9:1"]) == 2
    assert "there is no chip 'v9'" in capsys.readouterr().err


@pytest.mark.always
def test_a_table_is_trained_on_and_the_next_commands_are_called_as_this_one_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "mine.csv", many(60))
    assert main(["text", "mine.csv", *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "python -m rnnjax text evaluate --workdir runs/text_table/seed-0" in shown
    assert "python -m rnnjax text predict" in shown
    assert main(["text", "train", "mine.csv", *SMALL]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert main(["text", "predict", "--text", "shared word b", "--json-lines"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] in "abc"
    assert main(["text", "evaluate"]) == 0
    assert json.loads(capsys.readouterr().out)["split"] == "validation"


@pytest.mark.slow
def test_an_installed_wheel_trains_and_predicts_outside_of_the_checkout(tmp_path):
    pytest.importorskip("setuptools", "77")
    source, wheels, work = tmp_path / "source", tmp_path / "wheels", tmp_path / "work"
    work.mkdir()
    shutil.copytree(ROOT / "rnnjax", source / "rnnjax", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True, timeout=300)
    (wheel,) = wheels.glob("*.whl")
    written(work / "mine.csv", many(60))
    environment = os.environ | {"PYTHONPATH": str(wheel)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=work, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import rnnjax; print(rnnjax.__file__)").startswith(str(wheel))
    assert "Peak learning rate." in run("-m", "rnnjax", "text", "train", "--help")
    shown = run("-m", "rnnjax", "text", "mine.csv", *SMALL)
    assert "python -m rnnjax text mine.csv" in shown, "the command that resumes it"
    answer = run("-m", "rnnjax", "text", "predict", "--text", "shared word b", "--json-lines")
    assert json.loads(answer)["label"] in "abc"

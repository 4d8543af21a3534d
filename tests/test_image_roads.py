"""From photos to answers by the commands that a user types: few images, and MNIST as people have it on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rnnjax
from rnnjax.__main__ import main
from tests.pictures import classes, zipped

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("devices", [1, 8])
def test_six_images_in_a_zip_work_at_the_defaults_and_the_smaller_batch_is_said(tmp_path, devices):
    zipped(classes(tmp_path / "folder", count=3), tmp_path / "six.zip")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def run(*arguments):
        """In a process of its own, which has as many devices as a user's."""
        command = [sys.executable, "-m", "rnnjax", "image", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = run("six.zip", "--train.epochs", "2", "--parallel.cpu-devices", str(devices))
    assert "batches of 2, not 16: there are 2 training images" in shown.replace("examples", "images")
    assert ("2 of 8 devices: there are 2 training" in shown) is (devices == 8)
    assert "2 classes, images in train / validation / test: 'cat' 1 / 1 / 1, 'dog' 1 / 1 / 1" in shown
    assert len(run("predict", "six.zip", "--json-lines").splitlines()) == 6


def test_mnist_as_png_files_is_trained_on_evaluated_and_predicted(tmp_path, tfds_dir, monkeypatch, capsys):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.chdir(tmp_path)
    counts = {
        "train": ("train", 0, 2000),
        "val": ("train", 2000, 400),
        "test": ("test", 0, 400),
        "new": ("test", 400, 200),
    }
    for folder, (split, start, count) in counts.items():
        source = tfds.data_source("mnist", split=split, data_dir=str(tfds_dir))
        for number in range(start, start + count):
            row = source[number]
            path = tmp_path / ("new" if folder == "new" else "photos") / folder / str(row["label"]) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row["image"][..., 0]).save(path)
    small = ["--data.height", "28", "--data.width", "28", "--data.color", "grey", "--model.conv", "16", "32"]
    small += ["--model.features", "32", "--train.epochs", "3", "--optim.ema-decay", "0.9"]
    assert main(["image", "photos", *small]) == 0
    shown = capsys.readouterr().out
    assert "splits by the folders test, train, val" in shown
    assert "10 classes, images in train / validation / test: " in shown
    assert "images of 28 x 28 pixels, read as 28 x 28" in shown
    run = Path("runs/image_folder/seed-0")
    assert json.loads((run / "result.json").read_text())["metrics"]["test"]["accuracy"] > 0.85
    assert main(["image", "predict", "new", "--json-lines"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = [answer["label"] == Path(answer["input"]).parent.name for answer in answers]
    assert len(right) == 200 and np.mean(right) > 0.85
    assert main(["image", "evaluate", "new"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["examples"], said["accuracy"]) == (200, pytest.approx(np.mean(right)))
    model, variables, preprocess = rnnjax.load(run)
    labelled = preprocess.labelled("new")
    logits = model.apply(variables, **preprocess(labelled["inputs"]))
    assert np.mean(np.asarray(logits).argmax(-1) == labelled["labels"]) == np.mean(right)

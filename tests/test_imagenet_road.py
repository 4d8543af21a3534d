"""The road of ImageNet's experiment by its commands: many JPEGs of mixed sizes, at 224 x 224 pixels. No result."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks.prepared_tfds import jpeg, write
from experiments.imagenet_cnn_rnn import EXPERIMENT
from rnnjax.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.long]

CLASSES, EACH = 20, 200


def photograph(rng, label):
    """Waves whose color and width are the class's, at any place, in an image whose sides are 160 to 420 pixels."""
    height, width = rng.integers(160, 421, 2)
    rows, columns = np.mgrid[:height, :width] / 224
    wave = np.sin(2 * np.pi * ((2 + 4 * (label % 4)) * (rows + columns) + rng.random()))
    color = np.array([100 + 60 * np.cos(2 * np.pi * (label // 4 / 5 + third / 3)) for third in range(3)])
    pixels = color + 50 * wave[..., None] + rng.normal(0, 10, (height, width, 1))
    return jpeg(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """As TFDS prepares ImageNet, but 20 classes of 200 images, of which 20 are the test's."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("tfds")

    def split(each):
        return [(photograph(rng, n % CLASSES), n % CLASSES) for n in range(each * CLASSES)]

    parts = {"train": split(EACH * 9 // 10), "validation": split(EACH // 10), "test": [(photograph(rng, 0), -1)] * 2}
    write(root, "photographs", CLASSES, parts, shards=4)
    return root, parts


def test_the_experiment_trains_evaluates_and_predicts_by_its_commands(prepared, tmp_path, monkeypatch, capsys):
    root, parts = prepared
    monkeypatch.chdir(tmp_path)
    assert EXPERIMENT.data.crop_size == 224
    data = ["--data.name", "photographs", "--data.data-dir", str(root)]
    smaller = ["--model.conv", "8", "16", "32", "32", "--model.features", "32", "--model.dtype", "float32"]
    smaller += ["--data.batch-size", "32", "--data.validation-fraction", "0.05"]
    smaller += ["--optim.learning-rate", "3e-3", "--optim.ema-decay", "0.9", "--train.epochs", "1"]
    assert main(EXPERIMENT, [*smaller, *data]) == 0
    run = tmp_path / "runs" / "imagenet_cnn_rnn" / "seed-0"
    result = json.loads((run / "result.json").read_text())
    tested = result["metrics"]["test"]
    assert tested["accuracy"] > 0.4, "waves of 20 kinds are told apart"
    assert len({Image.open(io.BytesIO(image)).size for image, _ in parts["train"]}) > 3000

    capsys.readouterr()
    assert main(EXPERIMENT, ["evaluate", "--workdir", str(run), *data]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(tested["accuracy"], abs=1e-6)

    shown = parts["validation"][:40]
    files = []
    for number, (image, _) in enumerate(shown):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(image)
    assert main(EXPERIMENT, ["predict", *map(str, files), "--json-lines", "--workdir", str(run)]) == 0
    answers = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    right = np.mean([answer == str(label) for answer, (_, label) in zip(answers, shown, strict=True)])
    assert right > 0.2 and abs(right - tested["accuracy"]) < 0.3

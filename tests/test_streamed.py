"""Images that are decoded while they are trained on: what the crops show, and a run on a small set like ImageNet."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.preprocessing import StandardScaler

from experiments.benchmarks.prepared_tfds import jpeg, write
from experiments.imagenet_cnn_rnn import EXPERIMENT
from rnnjax import data
from rnnjax.config import ImageData, ImageModel
from rnnjax.data import crops, streamed
from rnnjax.errors import DataError
from rnnjax.runs import display
from rnnjax.runs.answering import predict
from rnnjax.runs.fitting import run as fit
from rnnjax.runs.predict import load
from rnnjax.training.feed import Feed
from rnnjax.training.parallel import DataParallel
from tests.small import small_program
from tests.test_loop import assert_identical, fit_with_stops, outcome

COLORS = np.array([[200, 60, 60], [60, 190, 60], [60, 60, 200]])
"""A class's mean color."""


def photograph(rng, label):
    """An image of the class's color whose sides differ in length, with noise and a brighter right half."""
    height, width = rng.integers(30, 90, 2)
    pixels = COLORS[label] + rng.normal(0, 15, (height, width, 3))
    pixels[:, width // 2 :] += 30
    return jpeg(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared set like ImageNet's: JPEGs of any size, a test split whose labels are not public."""
    rng = np.random.default_rng(0)

    def split(count):
        return [(photograph(rng, n % 3), n % 3) for n in range(count)]

    root = tmp_path_factory.mktemp("tfds")
    write(
        root,
        "tiny_imagenet_like",
        3,
        {"train": split(96), "validation": split(21), "test": [(photograph(rng, 0), -1)] * 2},
    )
    return root


def config_for(folder, **changes):
    """The experiment as it is, but for the data, the sizes and the number of epochs."""
    config = EXPERIMENT.config
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            **{
                "name": "tiny_imagenet_like",
                "data_dir": str(folder),
                "batch_size": 8,
                "crop_size": 32,
                "validation_fraction": 0.125,
                "workers": 3,
                **changes,
            },
        ),
        model=dataclasses.replace(config.model, conv=(4, 4, 4), features=(8,)),
        optim=dataclasses.replace(config.optim, learning_rate=1e-2, ema_decay=0.9),
        train=dataclasses.replace(config.train, epochs=3),
    )


@pytest.fixture(scope="module")
def dataset(folder):
    return data.load(config_for(folder).data)


# Crops


def gradient(height, width):
    """An image whose red is its column and whose green is its row, in 0..255."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = columns * 255 / (width - 1), rows * 255 / (height - 1)
    return np.stack([red, green, np.zeros_like(red)], -1).round().astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(80, 80), (80, 200), (300, 90)])
def test_the_center_is_the_center_at_torchvisions_scale(height, width):
    """Shorter side to 8/7 of the crop, then the middle: 256 and 224 in the literature."""
    crop = crops.center_crop(Image.fromarray(gradient(height, width)), 56, 3).astype(float)
    assert crop.shape == (56, 56, 3)
    seen = min(height, width) * 7 / 8
    for channel, axis, side in ((0, 1, width), (1, 0, height)):
        line = crop[..., channel].mean(1 - axis)
        np.testing.assert_allclose(line.mean(), 127.5, atol=0.6)
        np.testing.assert_allclose(line[-1] - line[0], 255 * seen * (55 / 56) / (side - 1), atol=1.5)


def test_an_image_of_the_crops_size_is_taken_as_it_is():
    np.testing.assert_array_equal(crops.center_crop(Image.fromarray(gradient(56, 56)), 56, 3), gradient(56, 56))


@pytest.mark.parametrize("file", [True, False], ids=["jpeg", "pixels"])
def test_random_crops_show_what_the_paper_says(file):
    """A crop's colors tell where it lies. A JPEG much larger than the crop is decoded at a lower size."""
    pixels = gradient(400, 500)
    shares, ratios, flips, centers = [], [], [], []
    for n in range(200):
        image = crops.decode(jpeg(pixels), "it") if file else Image.fromarray(pixels)
        crop = crops.random_resized_crop(image, 16, 3, np.random.default_rng(n), 0.2).astype(float)
        red, green = crop[..., 0].mean(0), crop[..., 1].mean(1)
        width, height = (abs(line[-1] - line[0]) / 255 * 16 / 15 for line in (red, green))
        shares.append(width * height)
        ratios.append(width * 500 / (height * 400))
        flips.append(red[0] > red[-1])
        centers.append((red.mean(), green.mean()))
    assert 0.19 < min(shares) < 0.3
    assert 0.85 < max(shares) < 1.02
    assert 0.72 < min(ratios) < 0.85
    assert 1.2 < max(ratios) < 1.38
    assert 0.4 < np.mean(flips) < 0.6
    np.testing.assert_allclose(np.mean(centers, 0), 127.5, atol=10)
    assert np.std(centers, axis=0).min() > 15


def test_a_flipped_crop_is_the_other_one_mirrored():
    class Chosen:
        def __init__(self, flip):
            self.random, drawn = lambda: 0.0 if flip else 0.9, np.random.default_rng(0)
            self.uniform, self.integers = drawn.uniform, drawn.integers

    image = Image.fromarray(gradient(60, 70))
    plain, flipped = (crops.random_resized_crop(image, 16, 3, Chosen(flip), 0.5) for flip in (False, True))
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    assert (flipped != plain).any()


def test_a_very_long_image_still_has_a_crop():
    crop = crops.random_resized_crop(Image.fromarray(gradient(3, 900)), 8, 3, np.random.default_rng(0), 0.9)
    assert crop.shape == (8, 8, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_images_of_other_modes_become_rgb(mode):
    image = Image.fromarray(gradient(40, 50)).convert(mode)
    for crop in (
        crops.center_crop(image, 16, 3),
        crops.random_resized_crop(image, 16, 3, np.random.default_rng(0), 1.0),
    ):
        assert crop.shape == (16, 16, 3)
        assert np.ptp(crop) > 50


# The data set


def test_splits_labels_and_statistics(dataset):
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [84, 12, 21]
    np.testing.assert_array_equal(dataset.test["labels"], np.arange(21) % 3)
    np.testing.assert_array_equal(np.bincount(dataset.validation["labels"]), [4, 4, 4])
    for split in (dataset.train, dataset.validation, dataset.test):
        decoded = split["inputs"][:]
        assert decoded.shape == split["inputs"].shape == (len(split), 32, 32, 3)
        nearest = np.abs(decoded.mean((1, 2))[:, None] - COLORS - 15).sum(-1).argmin(-1)
        np.testing.assert_array_equal(nearest, split["labels"], "each image lies beside its own label")
    whole = dataset.train["inputs"][:].reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.preprocess.mean, whole.mean(0), rtol=1e-6)
    np.testing.assert_allclose(dataset.preprocess.std, whole.std(0), rtol=1e-6)
    assert dataset.train.nbytes == 84 * (32 * 32 * 3 + 4)


@pytest.mark.parametrize("constant", [0, 1, 100, 255])
def test_a_constant_channel_is_divided_by_one_as_scikit_learn_does(constant):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    pixels[..., 1] = constant
    found = streamed._statistics(pixels)
    peer = StandardScaler().fit(pixels.reshape(-1, 3) / 255)
    np.testing.assert_allclose(found["mean"], peer.mean_, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found["std"], peer.scale_, rtol=1e-12)
    assert found["std"][1] == 1


def test_a_training_crop_follows_from_seed_epoch_and_example_alone(dataset):
    images, rows = dataset.train["inputs"], np.array([5, 70, 5])
    once = images.crops(rows, (1, 2))
    np.testing.assert_array_equal(once[0], once[2])
    np.testing.assert_array_equal(images.crops(rows[1:2], (1, 2))[0], once[1])
    for other in ((0, 2), (1, 3), None):
        assert (images.crops(rows, other) != once).any()


@pytest.mark.parametrize("workers", [1, 5])
def test_threads_change_neither_order_nor_content(dataset, folder, workers):
    program = small_program(config_for(folder), dataset, devices=jax.devices()[:2])
    chunks = program.train_plan(seed=3, epoch=1)
    feed = Feed(dataset.train, DataParallel(jax.devices()[:2]), 2**40, workers)
    assert not feed.resident, "encoded images are streamed whatever the budget is"
    for chunk, fed, arguments in feed(chunks, 1, seed=3):
        ids, rows = arguments["ids"], arguments["rows"]
        assert fed["inputs"].shape[:2] == (2, chunk.rows.size // 2)
        for device in range(2):
            expected = dataset.train["inputs"].crops(ids[device].reshape(-1), (3, 1))
            np.testing.assert_array_equal(fed["inputs"][device][rows[device].reshape(-1)], expected)
            np.testing.assert_array_equal(fed["labels"][device], dataset.train["labels"][ids[device].reshape(-1)])
    assert list(feed([])) == []


def test_a_broken_image_is_named(tmp_path):
    """Cut off: found among the images of the statistics. No image at all: found by a thread of the feed."""
    good = jpeg(gradient(60, 70))
    examples = [(good, n % 2) for n in range(40)]
    cut = [*examples[:17], (good[: len(good) // 2], 1), *examples[18:]]
    write(tmp_path, "cut", 2, {"train": cut, "test": examples[:4]})
    config = ImageData(name="cut", data_dir=str(tmp_path), crop_size=16, validation_fraction=0.1, batch_size=4)
    with pytest.raises(DataError, match=r"cut/1\.0\.0, split train, record 17: not a readable image"):
        data.load(config)
    write(tmp_path, "text", 2, {"train": examples, "test": [*examples[:2], (b"no image", 0)]})
    loaded = data.load(dataclasses.replace(config, name="text"))
    chunks = loaded.plan.evaluate(loaded.test, batch_size=2, steps_per_call=1)[:2]
    with pytest.raises(DataError, match=r"text/1\.0\.0, split test, record 2: not a readable image"):
        list(Feed(loaded.test, DataParallel(jax.devices()[:1]), 0)(chunks))


def test_images_of_any_size_ask_for_a_size(folder):
    with pytest.raises(DataError, match=r"its images differ in size; set a size for all with --data\.crop-size 224"):
        data.load(ImageData(name="tiny_imagenet_like", data_dir=str(folder)))
    with pytest.raises(DataError, match="has no split 'exam'; it has test, train, validation"):
        data.load(ImageData(name="tiny_imagenet_like", data_dir=str(folder), test_split="exam"))


# The run


@pytest.mark.slow
def test_the_experiment_trains_resumes_and_predicts(folder, dataset, tmp_path):
    program = small_program(config_for(folder), dataset, devices=jax.devices()[:2])
    result = fit(program, 0, tmp_path / "unbroken")
    assert fit_with_stops(program, tmp_path / "stopped", 3) >= 2
    assert_identical(outcome(program, tmp_path / "unbroken"), outcome(program, tmp_path / "stopped"))
    assert result["metrics"]["test"]["accuracy"] > 0.6, "three colors are told apart"
    assert program.evaluate(load(tmp_path / "unbroken").variables, "test") == result["metrics"]["test"]
    rows = [json.loads(line) for line in (tmp_path / "unbroken" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["input_wait"] <= 1 and row["step_examples_per_second"] > 0 for row in rows)

    # Prediction sees files as the evaluation saw the records.
    loaded, source = load(tmp_path / "unbroken"), dataset.test["inputs"]
    for n in range(4):
        (tmp_path / f"{n}.jpg").write_bytes(source.fetch([n])[0])
    files = [str(tmp_path / f"{n}.jpg") for n in range(4)]
    logits = program.evaluate_keeping(loaded.variables, "test")[2]["logits"][:4]
    answers = list(predict(loaded, loaded.preprocess.read(files, [], None)))
    assert [answer.row["label"] for answer in answers] == [str(c) for c in logits.argmax(-1)]
    expected = np.exp(logits - logits.max(-1, keepdims=True))
    np.testing.assert_allclose(
        [a.row["probability"] for a in answers], (expected / expected.sum(-1, keepdims=True)).max(-1), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("wait", "rate", "said"), [(0.6, 1900.0, ": input-bound"), (0.01, 1900.0, "data"), (0.6, 2390.0, "data")]
)
def test_an_epochs_line_says_what_sets_the_speed(wait, rate, said):
    row = {"examples_per_second": rate, "input_wait": wait, "step_examples_per_second": 2400.0}
    line = display._input(row)
    assert line.endswith(said)
    assert "of the 2,400 that steps could take" in line
    assert display._input({"examples_per_second": rate}) == ""


@pytest.mark.slow
def test_the_wait_for_slow_data_is_measured(folder, dataset, monkeypatch):
    """Decoding that is slower than any step."""
    program = small_program(config_for(folder, workers=1), dataset, devices=jax.devices()[:1])
    images = type(dataset.train["inputs"])
    crop = images.crops
    monkeypatch.setattr(images, "crops", lambda *arguments: time.sleep(0.1) or crop(*arguments))
    state = program.parallel.replicate(program.create_state(0))
    for fed in program.feed_training(program.train_plan(seed=0, epoch=0), 0):
        state, _ = program.train(state, fed)
    assert program.streamed_step_rate > 0
    assert program.input_seconds > 0.1


def test_the_model_of_the_experiment_fits_its_images():
    """At its own size, by shapes alone."""
    from rnnjax.data import ImagePreprocess
    from tests.toy import built

    config = EXPERIMENT.config
    assert isinstance(config.model, ImageModel)
    size = config.data.crop_size
    preprocess = ImagePreprocess((size, size, 3), (0.5,) * 3, (0.2,) * 3, tuple(map(str, range(1000))), True)
    model = built(config.model, preprocess)
    inputs = np.zeros((2, size, size, 3), np.float32)
    logits, variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), inputs))
    assert logits.shape == (2, 1000)
    kernels = {tuple(leaf.shape) for leaf in jax.tree.leaves(variables)}
    assert (14 * 512, 4 * 512) in kernels, "the LSTM reads rows of 14 x 512"

"""Pixels in another order: drawn once, kept by the run, the same in training, prediction and export."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import rnnjax
from experiments.digits_rows import EXPERIMENT
from rnnjax.data import ImagePreprocess
from rnnjax.data.pixel_order import reordered
from rnnjax.data.preprocess import load
from rnnjax.errors import RnnjaxError, UsageError
from rnnjax.export import arguments, onnx_models
from rnnjax.runs.predict import Predictor

SHUFFLED = dataclasses.replace(
    EXPERIMENT,
    data=dataclasses.replace(EXPERIMENT.data, permutation_seed=3),
    model=dataclasses.replace(EXPERIMENT.model, features=(8,), read_by="pixels"),
    train=rnnjax.TrainConfig(epochs=1, log=()),
)


def test_each_pixel_goes_to_its_place():
    images = np.arange(2 * 2 * 3 * 1).reshape(2, 2, 3, 1)
    made = reordered(images, (5, 0, 1, 2, 3, 4))
    assert made[0].ravel().tolist() == [5, 0, 1, 2, 3, 4] and made[1].ravel().tolist() == [11, 6, 7, 8, 9, 10]
    assert reordered(images, ()) is images


def test_an_order_of_another_size_is_refused():
    known = {"shape": (2, 3, 1), "mean": (0.5,), "std": (0.2,), "class_names": ("a", "b")}
    for order in ((0, 1, 2), (0, 1, 2, 3, 4, 4), (1, 2, 3, 4, 5, 6), tuple(range(7))):
        with pytest.raises(UsageError, match="must name each of 2 x 3 once, by the numbers 0 to 5"):
            ImagePreprocess(**known, order=order)
        stored = ImagePreprocess(**known).to_json() | {"order": list(order)}
        with pytest.raises(ValueError, match="must name each of 2 x 3 once"):
            ImagePreprocess.from_json(json.loads(json.dumps(stored)))
    with pytest.raises(UsageError, match="permutation"):
        dataclasses.replace(EXPERIMENT.data, permutation_seed=-1)


def test_images_lie_as_they_are_and_are_seen_in_the_order_of_the_seed():
    plain, shuffled = EXPERIMENT.data.load(), SHUFFLED.data.load()
    order = shuffled.preprocess.order
    assert sorted(order) == list(range(64)) and order != tuple(range(64))
    assert SHUFFLED.data.load().preprocess.order == order
    other = dataclasses.replace(SHUFFLED.data, permutation_seed=4).load().preprocess.order
    assert other != order
    np.testing.assert_array_equal(plain.train["inputs"], shuffled.train["inputs"])
    batch = {"inputs": plain.train["inputs"][:5]}
    seen, wanted = shuffled.preprocess.on_device(batch)["inputs"], plain.preprocess.on_device(batch)["inputs"]
    np.testing.assert_array_equal(np.reshape(seen, (5, 64)), np.reshape(wanted, (5, 64))[:, order])


def test_a_run_keeps_its_order(tmp_path):
    rnnjax.fit(SHUFFLED, workdir=tmp_path)
    stored = json.loads((tmp_path / "preprocess.json").read_text())
    loaded = rnnjax.load(tmp_path)
    assert tuple(stored["order"]) == loaded.preprocess.order == load(tmp_path / "preprocess.json").order
    images = SHUFFLED.data.load().test["inputs"][:6]
    as_they_lie = ImagePreprocess.from_json({name: value for name, value in stored.items() if name != "order"})
    moved = as_they_lie.on_device({"inputs": reordered(images, stored["order"])})
    wanted = loaded.model.apply(loaded.variables, **moved)
    np.testing.assert_allclose(loaded.logits(images), wanted, atol=1e-5)
    stored["order"][0] = stored["order"][1]
    (tmp_path / "preprocess.json").write_text(json.dumps(stored))
    with pytest.raises(RnnjaxError, match="must name each of 8 x 8 once"):
        rnnjax.load(tmp_path)


def test_mirror_images_of_pixels_in_another_order_are_refused(tmp_path):
    mirrored = dataclasses.replace(SHUFFLED, model=dataclasses.replace(SHUFFLED.model, mirror=True))
    with pytest.raises(UsageError, match="answers to an image and its mirror image, and the pixels of digits are in "):
        rnnjax.fit(mirrored, workdir=tmp_path)


def test_in_onnx_the_order_is_the_same():
    pytest.importorskip("onnxruntime")
    from tests.test_export_onnx import session

    made = SHUFFLED.data.load()
    model = SHUFFLED.model.build(made.spec, 10)
    images = {"inputs": np.asarray(made.test["inputs"][:3])}
    variables = model.init(jax.random.key(0), **made.preprocess.on_device(images))
    held = Predictor(model, variables, made.preprocess, rnnjax.Classification(), made.spec)
    running = session(
        onnx_models.answers(model, variables, made.preprocess, arguments.arguments(held, None, None), ("batch", 10))
    )
    wanted = model.apply(variables, **made.preprocess.on_device(images))
    np.testing.assert_allclose(running.run(None, images)[0], wanted, atol=1e-5)

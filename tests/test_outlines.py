"""What is planned where the data are not there is what is planned with them."""

import dataclasses

import numpy as np
import pytest

import experiments
from rnnjax import ImageData, data
from rnnjax.data import outlines
from rnnjax.data.digit_strings import DigitStringsData
from rnnjax.errors import MissingDataError


@pytest.mark.parametrize("name", sorted(outlines.PUBLISHED))
def test_an_outline_holds_nothing_and_has_all_images(name):
    split = "validation" if name == "imagenet2012" else "test"
    section = ImageData(name=name, crop_size=224 if name == "imagenet2012" else 0, test_split=split)
    made, known = section.outline(), outlines.PUBLISHED[name]
    assert len(made.train) + len(made.validation) == known.splits["train"] and len(made.test) == known.splits[split]
    assert made.spec.outputs == known.classes
    if section.crop_size:
        assert made.train.encoded == ("inputs",), "streamed, as the files would be"
    else:
        assert all(stride == 0 for stride in made.train["inputs"].strides), "no memory, however many there are"


def test_imagenet_is_streamed_crops_of_its_experiment():
    made = experiments.load("imagenet_cnn_rnn").data.outline()
    assert made.train["inputs"].shape == (1_268_355, 224, 224, 3) and made.spec.outputs == 1000
    assert made.preprocess.center_crop


@pytest.mark.slow
def test_the_steps_are_those_of_the_data_themselves():
    section = experiments.load("mnist_rows").data
    try:
        there = data.load(section)
    except MissingDataError:
        pytest.skip("MNIST is not here")
    made = section.outline()
    assert made.spec == there.spec or made.spec.inputs == there.spec.inputs
    for split in ("train", "validation", "test"):
        assert len(made.split(split)) == len(there.split(split))
        for name, array in there.split(split).stored().items():
            assert (made.split(split)[name].shape, made.split(split)[name].dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize(
    "section",
    [
        ImageData(name="my_pictures"),
        ImageData(name="imagenet2012"),
        DigitStringsData(name="mnist"),
        ImageData(name="mnist", test_split="other"),
    ],
    ids=["unknown", "of any size", "made of others", "no such split"],
)
def test_of_others_nothing_is_known(section):
    assert section.outline() is None


def test_missing_data_are_told_from_damaged_ones(tmp_path):
    with pytest.raises(MissingDataError, match="is not prepared in"):
        data.load(ImageData(name="mnist", data_dir=str(tmp_path)))


def test_pixels_are_in_the_order_that_is_asked_for():
    made = ImageData(name="mnist", permutation_seed=3).outline()
    assert sorted(made.preprocess.order) == list(range(28 * 28))
    assert np.any(np.diff(made.preprocess.order) != 1)
    assert dataclasses.replace(made.preprocess, order=()) == ImageData(name="mnist").outline().preprocess

"""Distorted copies of held-out images: what is distorted, and that all else is as it was."""

import dataclasses

import numpy as np
import pytest

import rnnjax
from rnnjax.data.distortions import distorted
from rnnjax.errors import UsageError

DIGITS = rnnjax.ImageData(name="digits")


def test_only_the_validation_images_change_and_always_alike():
    plain = DIGITS.load()
    made, again = (dataclasses.replace(DIGITS, distorted_validation=True).load() for _ in range(2))
    for split in ("train", "test"):
        np.testing.assert_array_equal(plain.splits()[split]["inputs"], made.splits()[split]["inputs"])
    np.testing.assert_array_equal(plain.validation["labels"], made.validation["labels"])
    before, after = (np.asarray(found.validation["inputs"], int) for found in (plain, made))
    assert after.dtype == int and before.shape == after.shape
    changed = (before != after).any((1, 2, 3))
    assert changed.mean() > 0.95
    # It is still the same digit: more like its own image than like another one.
    own = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    assert own > 0.4 > np.corrcoef(np.roll(before, 1, 0).ravel(), after.ravel())[0, 1]
    np.testing.assert_array_equal(made.validation["inputs"], again.validation["inputs"])
    assert made.preprocess == plain.preprocess


def test_what_happens_to_an_image_depends_on_its_place_alone():
    images = np.random.default_rng(0).integers(0, 256, (1003, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(distorted(images)[:7], distorted(images[:7]))
    assert distorted(images[:0]).shape == (0, 8, 8, 1)
    assert distorted(images).dtype == np.uint8


def test_streamed_images_are_refused():
    with pytest.raises(UsageError, match="distorted-validation must be left out where images are streamed"):
        rnnjax.ImageData(name="imagenet", crop_size=32, distorted_validation=True)

"""Crops of JPEGs that are decoded down to the crop alone: the same as of the whole image, but for rounding."""

import io

import numpy as np
import pytest
from PIL import Image

from rnnjax.data import crops, jpeg_rows
from rnnjax.data.encoded import EncodedImages
from rnnjax.errors import DataError

SIZE = 40
"""Of the crops: no image below is twice as wide, so that none is decoded at half its size."""
FORMS = {
    "colors at half the size": {"subsampling": "4:2:0"},
    "colors at half the width": {"subsampling": "4:2:2"},
    "colors at full size": {"subsampling": "4:4:4"},
    "restart markers": {"restart_marker_rows": 1},
    "comment": {"comment": b"\xff\xc0 is no header here"},
    "progressive": {"progressive": True},
    "grey": {},
}


def encoded(form, height=150, width=79):
    noise = np.random.default_rng(0).integers(0, 256, (height // 2 + 1, width // 2 + 1, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(noise).resize((width, height)))
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if form == "grey" else pixels).save(file, "JPEG", quality=90, **FORMS[form])
    return file.getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_that_of_the_whole_image(form, channels):
    """Pillow rounds between the two directions in which it resizes, of which an image's size decides the first."""
    data = encoded(form)
    whole = Image.fromarray(np.asarray(Image.open(io.BytesIO(data))))
    for seed in range(40):
        made, expected = (
            crops.random_resized_crop(image, SIZE, channels, np.random.default_rng(seed), 0.08)
            for image in (crops.decode(data, "it"), whole)
        )
        assert np.abs(made.astype(int) - expected).max() <= 1, f"seed {seed}"


@pytest.mark.parametrize("form", FORMS)
def test_rows_below_are_not_decoded(form):
    image = Image.open(io.BytesIO(encoded(form)))
    upper = jpeg_rows.upper(image, 33)
    if form == "progressive":
        assert upper is image
        return
    assert upper.size == (79, 64), "whole blocks, and one more"
    np.testing.assert_array_equal(np.asarray(upper)[:48], np.asarray(image)[:48])


def test_scans_of_some_colors_alone_are_decoded_whole():
    """The data of the next scan would be looked for where those of the rows below begin."""
    data = encoded("colors at full size")
    place = data.index(b"\xff\xda") + 4
    assert data[place] == 3, "all colors are in one"
    for changed in (data, data[:place] + b"\x01" + data[place + 1 :]):
        image = Image.open(io.BytesIO(data))
        image.fp = io.BytesIO(changed)
        assert (jpeg_rows.upper(image, 33) is image) == (changed is not data)


def test_what_is_no_jpeg_of_bytes_or_is_needed_whole_is_left_as_it_is(tmp_path):
    data = encoded("colors at half the size")
    (tmp_path / "a.jpg").write_bytes(data)
    with Image.open(tmp_path / "a.jpg") as file:
        assert jpeg_rows.upper(file, 20) is file
    pixels = Image.fromarray(np.zeros((90, 90, 3), np.uint8))
    assert jpeg_rows.upper(pixels, 20) is pixels
    image = Image.open(io.BytesIO(data))
    assert jpeg_rows.upper(image, 130) is image
    odd = Image.open(io.BytesIO(data))
    odd.fp = io.BytesIO(data[:2] + b"\x00" + data[3:])
    assert jpeg_rows.upper(odd, 20) is odd


def test_a_file_that_is_cut_off_below_the_crop_is_still_an_error():
    data = encoded("colors at half the size")
    images = EncodedImages("it", lambda numbers: [data[: len(data) * 9 // 10]] * len(numbers), np.arange(30), SIZE)
    for row in range(30):
        with pytest.raises(DataError, match=rf"it, record {row}: not a readable image"):
            images.crops(np.array([row]), (0, 0))

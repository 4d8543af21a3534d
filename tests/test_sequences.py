"""Images as sequences, element by element."""

import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.errors import UsageError
from rnnjax.layers.sequences import columns, patches, pixel_permutation, pixels, rows

IMAGES = np.arange(2 * 3 * 4 * 6 * 5).reshape(2, 3, 4, 6, 5)  # two leading axes, 4 rows, 6 columns, 5 channels


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_every_step_is_its_part_of_the_image(array):
    images = array(IMAGES)
    order = pixel_permutation(24, seed=3)
    by_rows, by_columns, by_pixels = (np.asarray(f(images)) for f in (rows, columns, pixels))
    permuted, by_patches = np.asarray(pixels(images, order)), np.asarray(patches(images, 2))
    for a, b in np.ndindex(2, 3):
        image = IMAGES[a, b]
        for t in range(4):
            assert np.array_equal(by_rows[a, b, t], image[t].ravel())
        for t in range(6):
            assert np.array_equal(by_columns[a, b, t], image[:, t].ravel())
        for t in range(24):
            assert np.array_equal(by_pixels[a, b, t], image[t // 6, t % 6])
            assert np.array_equal(permuted[a, b, t], image[order[t] // 6, order[t] % 6])
        for t in range(6):
            top, left = 2 * (t // 3), 2 * (t % 3)
            assert np.array_equal(by_patches[a, b, t], image[top : top + 2, left : left + 2].ravel())
    assert patches(images, (4, 3)).shape == (2, 3, 2, 60)


def test_the_permutation_is_fixed_by_its_seed():
    assert sorted(pixel_permutation(784)) == list(range(784))
    assert np.array_equal(pixel_permutation(784, 1), pixel_permutation(784, 1))
    assert not np.array_equal(pixel_permutation(784, 1), pixel_permutation(784, 2))
    assert pixel_permutation(8).tolist() == [6, 2, 1, 7, 3, 0, 5, 4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rows(np.zeros((3, 4))), "images must have shape"),
        (lambda: patches(IMAGES, 4), "patches of 4x4 do not tile images of 4x6"),
        (lambda: patches(IMAGES, 0), "do not tile"),
        (lambda: pixels(IMAGES, np.arange(7)), r"order must have shape \(24,\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(UsageError, match=message):
        call()
